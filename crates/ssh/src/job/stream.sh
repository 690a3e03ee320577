# Streams both files until the supervisor is gone (then 0) or this channel is (nobody is there to see).
# `d` folder; `o` and `e` first bytes. The channel's input is left open by the client: its end is the channel's.
exec 5<&0 8<>"$d/alive" 7<"$d/alive" 8>&-
tail -c "+$o" -f "$d/out" 4>&- 5<&- 7<&- & x=$!
tail -c "+$e" -f "$d/err" >&4 4>&- 5<&- 7<&- & y=$!
{ while read -r z; do :; done <&5; kill -KILL "$x" "$y" "$$"; } >/dev/null 4>&- & z=$!
read -r q <&7
kill -KILL "$x" "$y" "$z"
exit 0
