# Before the stop of `crate::stop`. `P`: the process group of the job in folder `d`, while it is the job's own.
P= b=-
if read -r q s x <"$d/pid"; then
read -r b </proc/sys/kernel/random/boot_id
[ "$b" != "$x" ] || P=$q
if read -r x <"/proc/$q/stat"; then
set -- ${x##*) }
[ "${20}" = "$s" ] || P=
else
for f in "$d"/rc.*; do [ ! -f "$f" ] || P=; done
fi
fi
