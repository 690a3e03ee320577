# Ends a job from outside; goes on as own.sh and the stop of `crate::stop`.
# $1 folder; $2 cookie; $3 tenths of grace; $4 and $5 as in here.sh. Elsewhere it does nothing and says nothing.
exec 3>&1 >/dev/null 2>&1
d=$1 C=SSHEPHERD_TASK=$2 N=$3
here "$4" "$5" || exit
