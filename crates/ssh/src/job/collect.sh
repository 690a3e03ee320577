# Tells how a job ended, and the rest of its output.
# $1 nonce; $2 folder; $3 and $4 the first byte wanted of each stream, counted from 1.
# On standard error: `sshepherd-NONCE gone`, `… running`, `… done RC FLAG OUT ERR` (flag `limit`, `cut` or `-`; sizes in
# bytes) or `… dead limit|rebooted|killed|unstarted - OUT ERR`.
exec 4>&2 2>/dev/null
n=$1 d=$2 o=$3 e=$4
echo "sshepherd-$n start"
say() { echo "sshepherd-$n $*" >&4; }
cd "$d" || { say gone; exit 0; }
look
[ -z "$u" ] || { say running; exit 0; }
f=- x=0 y=0
[ ! -f out ] || x=$(wc -c <out)
[ ! -f err ] || y=$(wc -c <err)
z="$((x)) $((y))"
if [ -n "$r" ]; then
[ ! -f cut ] || f=cut
[ ! -f limit ] || f=limit
say done "$r" "$f" "$z"
else
p=- b=- w=killed
[ ! -r /proc/sys/kernel/random/boot_id ] || read -r b </proc/sys/kernel/random/boot_id
if [ -f pid ]; then read -r q q p <pid; [ "$p" = "$b" ] || w=rebooted; else w=unstarted; fi
[ "$w" != killed ] || [ ! -f limit ] || w=limit
say dead "$w" - "$z"
fi
tail -c "+$o" out
tail -c "+$e" err >&4
exit 0
