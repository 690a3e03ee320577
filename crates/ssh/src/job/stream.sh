# Streams both files until the supervisor is gone (then 0), what is asked for is not there any more (killed), or this
# channel is gone (nobody is there to see).
# `d` folder; `fo` and `fe` the files to begin with, `ko` and `ke` what is had of them; `j`: set where they are read in
# pieces, for more follow or will. The channel's input is left open by the client, and its end is the channel's; a line of
# it says how much of each stream is kept elsewhere.
exec 5<&0 8<>"$d/alive" 7<"$d/alive" 8>&-
cd "$d"
over() { kill -KILL "$$"; exit; }
# Gives what is new of stream $1, of whose file `f` `k` bytes were given. Fails where nothing is.
give() {
s=$1
set -- "$1" "$1".*
while [ $# -gt 0 ] && [ "$1" != "$f" ]; do shift; done
h=${2:-}
[ -f "$h" ] || h=
size "$f"
[ -f "$f" ] && [ "$z" -ge "$k" ] || over
if [ "$z" -gt "$k" ]; then
tail -c "+$((k + 1))" "$f" | head -c "$((z - k))"
k=$z
return
fi
[ -n "$h" ] || return
x=${f#"$s"} x=${x#.}
[ "$(expr "${x:-0}" + "$z")" = "$(expr "${h#"$s".}" + 0)" ] || over
f=$h k=0
}
if [ -z "$j" ]; then
tail -c "+$((ko + 1))" -f "$d/out" 4>&- 5<&- 7<&- & x=$!
tail -c "+$((ke + 1))" -f "$d/err" >&4 4>&- 5<&- 7<&- & y=$!
else
while :; do
was=$fo$ko$fe$ke
f=$fo k=$ko; give out; fo=$f ko=$k
f=$fe k=$ke; give err >&4; fe=$f ke=$k
[ "$was" != "$fo$ko$fe$ke" ] || { sleep 0.2 || sleep 1; } >/dev/null 4>&-
done 5<&- 7<&- & x=$! y=$!
fi
while sleep 5; do ! spoiled || { kill -KILL "$x" "$y"; over; }; done >/dev/null 4>&- 5<&- 7<&- & v=$!
{
while read -r o e; do forget out "$o"; forget err "$e"; done <&5
kill -KILL "$x" "$y" "$v" "$$"
} >/dev/null 4>&- & z=$!
read -r q <&7
kill -KILL "$x" "$y" "$v" "$z"
exit 0
