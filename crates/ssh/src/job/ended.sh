# Shared by collect.sh and remove.sh. `r`: the exit status, if the command has ended; `u`: set while it is supervised.
# `d` is the current folder's path.
look() {
r= u=
for f in rc.*; do [ ! -f "$f" ] || r=${f#rc.}; done
[ -z "$r" ] || return
[ -p alive ] || { sleep 1; [ -p alive ]; } || return
exec 8<>alive 7<alive 8>&-
{ read -r q; } <&7 >/dev/null 4>&- & q=$!
exec 7<&-
sleep 1
! kill -KILL "$q" || u=1
for f in rc.*; do [ ! -f "$f" ] || r=${f#rc.}; done
[ -z "$r" ] || u=
}
