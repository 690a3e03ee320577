# Tells how a job ended, and the rest of its output, up to the first hole in it.
# $1 nonce; $2 folder; $3 and $4 how much of each stream is had; $5 and $6 as in here.sh.
# On standard error: `sshepherd-NONCE gone`, `… elsewhere - - BOOT MACHINE`, `… running`, `… done RC FLAG OUT ERR OUT ERR OUT
# ERR` (flag `limit`, `stopped`, `cut` or `-`; then the ends of the streams, from which offsets the rest is, and up to which),
# `… dead limit|stopped|rebooted|killed - …` and the same, `… dead unstarted - 0 0 0 0 0 0` or `… spoiled HOW`.
exec 4>&2 2>/dev/null
SSHEPHERD_JOB=1
export SSHEPHERD_JOB
n=$1 d=$2 o=$3 e=$4
echo "sshepherd-$n start"
say() { echo "sshepherd-$n $*" >&4; }
here "$5" "$6" || { say elsewhere - - "$B" "$M"; exit 0; }
cd "$d" || { say gone; exit 0; }
look
[ -z "$u" ] || { say running; exit 0; }
c=- b=- w=killed v=
if [ -n "$r" ]; then
[ ! -f cut ] || c=cut
[ ! -f stopped ] || c=stopped
[ ! -f limit ] && [ ! -f over ] || c=limit
v="done $r $c"
else
p=-
[ ! -r /proc/sys/kernel/random/boot_id ] || read -r b </proc/sys/kernel/random/boot_id
[ -f pid ] || { say dead unstarted - 0 0 0 0 0 0; exit 0; }
read -r q q p <pid
[ "$p" = "$b" ] || w=rebooted
[ "$w" != killed ] || { [ ! -f stopped ] || w=stopped; [ ! -f limit ] && [ ! -f over ] || w=limit; }
v="dead $w -"
fi
! x=$(spoiled) || { say spoiled "$x"; exit 0; }
seek out "$o"
g=$f,$k,$l v="$v $t" x=$p y=$w
seek err "$e"
say "$v $t $x $p $y $w"
# From `f` without its first `k` bytes to the end of `l`.
rest() {
h=
for q in "$1" "$1".*; do
case $q in "$f") h=1; tail -c "+$((k + 1))" "$q" ;; *) [ -z "$h" ] || cat "$q" ;; esac
[ "$q" != "$l" ] || return
done
}
rest err >&4
k=${g%,*} l=${g##*,}
f=${k%%,*} k=${k#*,}
rest out
exit 0
