# Keeps one stream of a job in files, to its end whatever happens, and not more of it than there is room for.
# $1 folder; $2 this stream and $3 the other, `out` and `err`; $4 KiB that may wait of both. Standard input is the stream.
# The first file has the stream's name; each later one has behind it the offset of its first byte, in 15 digits. What is
# missing between the end of one and the name of the next was lost. `cut`: something was lost that no name tells.
# Inherited, but not in every shell's children.
trap '' HUP INT TERM
trap '' XFSZ
cd "$1" || exit
n=$2 o=$3 m=$4
command -v dd && command -v ls && command -v expr || exec cat >>"$n"
size() { set -- $(ls -ln "$1"); z=${5:-0}; }
# KiB that wait: offsets are beyond the arithmetic of some shells.
weigh() {
t=$(ls -ln "$n" "$n".* "$o" "$o".* | { t=0; while read -r x x x x y x; do t=$((t + (y + 1023) / 1024)); done; echo "$t"; })
}
# The oldest is being read, the newest written: what goes is the oldest but one.
drop() {
for s in "$n" "$o"; do
set --
for q in "$s" "$s".*; do [ ! -f "$q" ] || set -- "$@" "$q"; done
[ $# -le 2 ] || { rm -f "$2"; return; }
done
return 1
}
# By less than $1 KiB too much is one piece too much.
fit() { weigh; while [ "$t" -gt "$m" ] && drop && [ "$t" -gt "$((m + $1))" ]; do weigh; done; }
# A full disk is a bound like the other, and who is beside us gets a part of the room.
full() {
weigh
m=$((t * 3 / 4))
fit 0
[ "$t" -le "$m" ] || m=$((t + 16))
[ ! -f spare ] || { rm -f spare; m=$((m + 1024)); }
}
# Small reads until it is known that large ones come.
f=$n a=0 z=0 k=1024 b=4096 first=1
while :; do
r=$((k * 1024 - z))
[ "$r" -ge "$b" ] || b=$r
c=$((r / b)) was=$z lost=0
e=$(LC_ALL=C dd "bs=$b" "count=$c" 2>&1 >>"$f") && v=0 || v=1
x=${e%% records in*}
case $e in
*' records in'*) x=${x##*[!0-9+]} ;;
*)
# The file could not even be opened.
v=1 c=1 b=65536
e=$(LC_ALL=C dd "bs=$b" count=1 2>&1 >/dev/null)
x=${e%% records in*} x=${x##*[!0-9+]}
;;
esac
i=${x%+*} j=${x#*+}
if [ "$v" -eq 0 ]; then
[ "$((i + j))" -ge "$c" ] || { [ -f "$f" ] || mv whole cut; exit 0; }
if [ "$j" -eq 0 ]; then z=$((was + i * b)); else size "$f"; fi
else
[ "$((i + j))" -gt 0 ] || { mv whole cut; exit 0; }
size "$f"
if [ "$j" -eq 0 ]; then lost=$((i * b + was - z)); else lost=$b; fi
full
fi
if [ "$j" -gt "$i" ]; then b=4096; else b=65536; fi
if [ "$v" -eq 0 ]; then
[ "$z" -ge "$((k * 512))" ] || continue
if [ -n "$first" ]; then
# Room for the end of the output, should the disk fill up.
first= k=$((m / 2))
[ -f spare ] || dd if=/dev/zero bs=65536 count=16 >spare || rm -f spare
continue
fi
fi
first=
a=$(expr "$a" + "$z" + "$lost")
[ "$z" -gt 0 ] || [ "$f" = "$n" ] || rm -f "$f"
fit "$k"
k=$((m / 32))
[ "$k" -ge 4 ] || k=4
z=0 x=000000000000000$a f=
f=$n.${x#"${x%???????????????}"}
done
