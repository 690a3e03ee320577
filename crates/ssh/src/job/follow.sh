# Goes on as stream.sh with a job of an earlier channel.
# $1 nonce; $2 folder; $3 and $4 the first byte wanted of each stream, counted from 1.
# On standard error: `sshepherd-NONCE follow` or `… gone`.
exec 4>&2 2>/dev/null
n=$1 d=$2 o=$3 e=$4
echo "sshepherd-$n start"
say() { printf 'sshepherd-%s %s\n' "$n" "$*" >&4; }
[ -p "$d/alive" ] || [ ! -d "$d" ] || sleep 1
[ -p "$d/alive" ] || { say gone; exit 1; }
say follow
