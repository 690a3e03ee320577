# Stays with one command to its end, whoever else goes. Fd 9 is the FIFO whose closing tells the end, fd 8 the one
# that the command's process id is reported on.
# $1 folder; $2 umask and $3 input of the command; $4 cookie; $5 seconds; $6 tenths of grace; $7 shell; $8 line;
# $9 the text of run.sh; ${10} the text of the stop; ${11} the text of keep.sh; ${12} its KiB.
d=$1 f=$3 c=$4 l=$5 g=$6 r=$9 k=${10} q=${11} m=${12}
# What works beside the command ignores signals from its first moment on, and a limit of file sizes is an error to it.
trap '' HUP INT TERM
trap '' XFSZ
s=$(command -v setsid) || set -m
t=
await() { while t=; wait "$1"; x=$?; [ -n "$t" ]; do :; done; [ "$x" -eq 0 ] || [ "$x" -eq 127 ]; }
# Pipes as over plain ssh: a command that writes to /dev/stderr would cut a file. Each reader leads a group of its own.
exec 3<>"$d/o" 5<"$d/o" 6>"$d/o" 3>&-
$s sh -c "$q" sshepherd "$d" out err "$m" <&5 9>&9 5<&- 6>&- 8>&- & a=$!
exec 3<>"$d/e" 5<"$d/e" 7>"$d/e" 3>&-
$s sh -c "$q" sshepherd "$d" err out "$m" <&5 9>&9 5<&- 6>&- 7>&- 8>&- & b=$!
# The limit holds even if nobody ever comes back, and the supervisor neither. Whoever moves `end` decides how the job
# ended: the limit here, a stop (`stopped`, or `over` when it is for a limit that did not hold here), or the command itself.
# KILL, for a signal that a shell catches can be lost before it has started what it forks.
exec 3<>"$d/nap" 5<"$d/nap"
(exec sleep "$l" >&3 3>&- 5<&- 6>&- 7>&- 8>&- 9>&-) & z=$!
exec 3>&-
(
exec 3>/dev/null 6>&- 7>&- 8>&- 9>&-
read -r x <&5
mv "$d/end" "$d/limit" || [ ! -f "$d/ended" ] || exit
C=SSHEPHERD_TASK=$c N=$g
(eval "$k")
# What hides from the stop may still hold the pipes.
kill -KILL "-$a"
kill -KILL "-$b"
kill -KILL "$a" "$b"
) & w=$!
# Handlers, not ignored: what is ignored here would be ignored by the command.
trap t=1 HUP INT TERM
trap - XFSZ
$s sh -c "$r" sshepherd "$d" "$2" "$c" "$7" "$8" <"$f" >&6 2>&7 5<&- 6>&- 7>&- 8>&8 9>&-
r=$?
exec 5<&- 6>&- 7>&- 8>&-
trap '' XFSZ
await "$a" || mv "$d/whole" "$d/cut"
await "$b" || mv "$d/whole" "$d/cut"
mv "$d/end" "$d/ended"
[ -f "$d/limit" ] || kill -KILL "$z" "$w"
await "$w"
await "$z"
mv "$d/last" "$d/rc.$r"
