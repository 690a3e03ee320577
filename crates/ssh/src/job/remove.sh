# Removes the folder of a job that has ended.
# $1 nonce; $2 folder; $3 `keep` to leave it empty, so that a start that is still on its way finds it taken; $4 and $5 as in here.sh.
# On standard error: `sshepherd-NONCE removed`, `… running`, `… elsewhere - - BOOT MACHINE` or `… refused`.
exec 4>&2 2>/dev/null
SSHEPHERD_JOB=1
export SSHEPHERD_JOB
n=$1 d=$2
echo "sshepherd-$n start"
say() { echo "sshepherd-$n $*" >&4; }
i=${d##*/} b=${d%/*}
case $i in ''|.|..|*[!A-Za-z0-9:._-]*) say refused; exit 1 ;; esac
case $b in /*/.sshepherd/jobs|"/tmp/sshepherd-$(id -u)") ;; *) say refused; exit 1 ;; esac
here "$4" "$5" || { say elsewhere - - "$B" "$M"; exit 1; }
[ -d "$d" ] || { say removed; exit 0; }
for f in "${b%/jobs}" "$b" "$d"; do [ ! -h "$f" ] && [ -O "$f" ] || { say refused; exit 1; }; done
cd "$d" || { say refused; exit 1; }
look
[ -z "$u" ] || { say running; exit 1; }
rm -f alive go o e nap in env out out.* err err.* end ended last pid pid.new limit over stopped whole cut spare own.* rc.*
if [ "$3" = keep ]; then
find "$b/." ! -name . -prune -type d -mtime +0 -exec rmdir {} \;
else
cd / && rmdir "$d" || { say refused; exit 1; }
fi
say removed
exit 0
