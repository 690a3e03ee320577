# Becomes the command, after it has written who it is.
# $1 folder; $2 umask; $3 cookie; $4 shell, `-` for the log-in shell; $5 line.
d=$1 m=$2 c=$3 h=$4 l=$5 s=- b=-
umask 077
{
[ ! -r /proc/$$/stat ] || { read -r x </proc/$$/stat; set -- ${x##*) }; s=${20}; }
[ ! -r /proc/sys/kernel/random/boot_id ] || read -r b </proc/sys/kernel/random/boot_id
echo "$$ $s $b" >"$d/pid.new" && mv "$d/pid.new" "$d/pid" || exit 126
echo "$$ $s $b" >&8
# What a shell starts beside itself ignores these; the command is to be as over plain ssh, where `env` can undo it.
p='env --default-signal=INT,QUIT'
$p true || p=
} 2>/dev/null
[ "$h" != - ] || h=${SHELL:-/bin/sh}
umask "$m"
SSHEPHERD_TASK=$c
export SSHEPHERD_TASK
unset SSHEPHERD_JOB
# What others chose is an argument; the text is ours, and fish and csh, where a configuration took them for a POSIX shell,
# cannot parse it. Plain words are the same in all of them.
if [ -f "$d/env" ]; then
exec $p "$h" -c 'case x in x) eval "shift 2;$(cat "$1"; rm -f "$1");$2";; esac' "$h" "$d/env" "$l" 8>&-
fi
case $l in
*[!A-Za-z0-9_./:=+\'\ -]*) exec $p "$h" -c 'case x in x) eval "shift;$1";; esac' "$h" "$l" 8>&- ;;
esac
exec $p "$h" -c "$l" 8>&-
