# Starts a job at most once, then goes on as stream.sh.
# $1 nonce; $2 id; $3 bytes of input, `-` for none, `!` to start nothing and see that nobody ever will; $4 `fed` if
# variables, a line with the nonce and the input come, else `-`; $5, $6 and $7 the identities of the home's place and of the one
# in /tmp and the boot that it is for: anywhere else it runs nothing; $8 whose job it is;
# then for supervise.sh: cookie, seconds, tenths of grace, shell, line, the texts of run.sh, of the stop and of
# keep.sh, and how many KiB may wait;
# the text of supervise.sh comes first among them.
# On standard error, once: `sshepherd-NONCE job PID START BOOT FOLDER`, `… exists PID START BOOT FOLDER`,
# `… elsewhere HOME TMP BOOT MACHINE` or `… refused REASON`. The line on standard output says that the script runs at all.
exec 4>&2 2>/dev/null
# A look at processes knows by it what watches over a job.
SSHEPHERD_JOB=1
export SSHEPHERD_JOB
n=$1 i=$2 b=$3 w=$4 eh=$5 et=$6 eb=$7 q=$8
shift 8
echo "sshepherd-$n start"
m=$(umask)
umask 077
say() { printf 'sshepherd-%s %s\n' "$n" "$*" >&4; }
# A start that was answered already, or that runs beside this one.
old() {
[ -n "$1" ] && [ -d "$1/$i" ] || return
p='- - -'
[ ! -f "$1/$i/pid" ] || read -r p <"$1/$i/pid"
say exists "$p" "$1/$i"
exit 0
}
site
a="$H $T $B $M"
# A place that was none when the start was bound is not used.
[ "$eh" != - ] || H=- h=
[ "$et" != - ] || T=- t=
# Both are looked at before one is made: a place that was full a moment ago may have room now.
[ "$H" != "$eh" ] || old "$h"
[ "$T" != "$et" ] || old "$t"
[ "$H $T $B" = "$eh $et $eb" ] || { say elsewhere "$a"; exit 0; }
d=
for f in "$h" "$t"; do
[ -n "$f" ] || continue
if mkdir "$f/$i"; then
d=$f/$i
[ "$b" = ! ] || { mkfifo "$d/alive" "$d/go" "$d/o" "$d/e" "$d/nap" && : >"$d/out" && : >"$d/err" && : >"$d/end" && : >"$d/last" && echo >"$d/whole" && : >"$d/own.$q"; } ||
{ rm -rf "$d"; d=; continue; }
break
fi
old "$f"
done
[ -n "$d" ] || { say refused 'no folder for a job can be made'; exit 1; }
for f in "$h" "$t"; do
[ -z "$f" ] || [ "$f/$i" = "$d" ] || [ ! -d "$f/$i" ] || { rm -rf "$d"; old "$f"; }
done
[ "$b" != ! ] || { say refused 'buried'; exit 0; }
none() { rm -rf "$d"; say refused "$1"; exit 1; }
# Some shells end where they cannot set it.
s=$(command -v setsid) || { (set -m) && set -m; case $- in *m*) trap '' HUP ;; *) none 'no setsid' ;; esac; }
# Held from here to the end of the job, by one process after the other.
exec 9<>"$d/alive" 8<>"$d/go" 7<"$d/go"
if [ "$w" = fed ]; then
v=
while IFS= read -r x || none 'the input came short'; [ "$x" != "$n" ]; do v="$v$x
"; done
# Not by an argument of a program, which other accounts could see.
[ -z "$v" ] || cat >"$d/env" <<E || none 'the variables could not be kept'
$v
E
fi
f=/dev/null
if [ "$b" != - ]; then
f=$d/in
head -c "$b" >"$f"
[ "$(wc -c <"$f")" -eq "$b" ] || none 'the input came short'
fi
k=$1
shift
# Some shells pass on only what is named.
$s sh -c "$k" sshepherd "$d" "$m" "$f" "$@" </dev/null >/dev/null 4>&- 7<&- 8>&8 9>&9 &
[ -n "$s" ] || set +m
exec 9>&- 8>&-
read -r p <&7
exec 7<&-
[ -f "$d/pid" ] || none 'the command could not be started'
say job "$p" "$d"
j= fo=out ko=0 fe=err ke=0
