# Whether folder `d` is in the place with identity `$1`, and its job on machine `$2` if that shares its home with others and it has
# not ended. `-` is any: what a version before started.
here() {
spot
f=${d%/*}/id.$B
case $d in */.sshepherd/jobs/*) f=${d%/jobs/*}/id ;; esac
x=
[ ! -f "$f" ] || read -r x <"$f"
case $1 in -|"$x") ;; *) return 1 ;; esac
case $2 in -|"$M") return 0 ;; esac
[ "$M" != - ] || return 0
for f in "$d"/rc.*; do [ ! -f "$f" ] || return 0; done
[ ! -d "$d" ]
}
