# Shared by follow.sh, stream.sh and collect.sh; see keep.sh for the files. The job's folder is the current one.
size() { set -- $(ls -ln "$1"); z=${5:-0}; }
# Whether stream $1 is more than its first file.
many() { for q in "$1".*; do [ -f "$q" ]; return; done; }
# Where the rest of stream $1 lies whose first $2 bytes are had: `f` its file; `k` what is had of that; `p` its offset, more
# than $2 where some was lost; `l` and `w` the file and the offset at which it ends, or the next hole begins; `t` its end.
seek() {
f= k=0 p=$2 l= w=0 t=0
if ! many "$1"; then
size "$1"
f=$1 l=$1 k=$2 t=$z w=$z
return
fi
for q in "$1" "$1".*; do
[ -f "$q" ] || continue
size "$q"
s=${q#"$1"} s=${s#.}
[ -n "$s" ] || s=0
h=$t t=$(expr "$s" + "$z")
if [ -z "$f" ]; then
if expr "$s" '>' "$p"; then f=$q k=0 p=$(expr "$s" + 0)
elif expr "$t" '>' "$p"; then f=$q k=$(expr "$p" - "$s")
else continue
fi >/dev/null
l=$q w=$t
elif [ "$w" = "$h" ] && expr "$s" = "$h" >/dev/null; then l=$q w=$t
fi
done
[ -n "$f" ] || f=$q l=$q k=$z w=$t
}
# What was done to the files from outside, if anything.
spoiled() {
[ ! -h "$d" ] && [ -O . ] || { echo 'the folder has another owner'; return; }
for s in out err; do
if [ -h "$s" ]; then echo "$s is a link"
elif [ -e "$s" ] && { [ ! -f "$s" ] || [ ! -O "$s" ]; }; then echo "$s is not the file it was"
elif [ ! -e "$s" ] && ! many "$s"; then echo "$s has vanished"
else continue
fi
return
done
return 1
}
# Removes what nobody asks for any more of stream $1, of which $2 bytes are kept elsewhere.
forget() {
h=
for q in "$1" "$1".*; do
[ -f "$q" ] || continue
if [ -n "$h" ]; then
expr "${q#"$1".}" '<' "$2" >/dev/null || return
rm -f "$h"
fi
h=$q
done
}
