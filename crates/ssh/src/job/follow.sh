# Goes on as stream.sh with a job of an earlier channel.
# $1 nonce; $2 folder; $3 and $4 how much of each stream is had; $5 `pieces` or `-`; $6 and $7 as in here.sh.
# On standard error: `sshepherd-NONCE follow OUT ERR`, from which offsets (more than were asked for where some was lost),
# `… elsewhere - - BOOT MACHINE`, `… gone` or `… spoiled HOW`.
exec 4>&2 2>/dev/null
SSHEPHERD_JOB=1
export SSHEPHERD_JOB
n=$1 d=$2 j=
echo "sshepherd-$n start"
say() { printf 'sshepherd-%s %s\n' "$n" "$*" >&4; }
here "$6" "$7" || { say elsewhere - - "$B" "$M"; exit 1; }
[ -p "$d/alive" ] || [ ! -d "$d" ] || sleep 1
[ -p "$d/alive" ] && cd "$d" || { say gone; exit 1; }
! x=$(spoiled) || { say spoiled "$x"; exit 1; }
[ "$5" = - ] && ! many out && ! many err || { j=1; forget out "$3"; forget err "$4"; }
seek out "$3"
x=$p fo=$f ko=$k
seek err "$4"
fe=$f ke=$k
say follow "$x" "$p"
