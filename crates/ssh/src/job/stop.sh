# Before the stop of `crate::stop`: its process group is signalled only if it is still the job's.
# $1 folder; $2 process id; $3 its start; $4 boot; $5 cookie; $6 tenths of grace.
exec 3>&1 >/dev/null 2>&1
P=$2 C=SSHEPHERD_TASK=$5 N=$6
b=- s=$3
[ ! -r /proc/sys/kernel/random/boot_id ] || read -r b </proc/sys/kernel/random/boot_id
[ "$b" = "$4" ] || P=
if [ -n "$P" ] && [ -r "/proc/$P/stat" ]; then
set -- "$1" $(read -r x <"/proc/$P/stat"; echo ${x##*) })
shift 20
[ "$1" = "$s" ] || P=
else
for f in "$1"/rc.*; do [ ! -f "$f" ] || P=; done
fi
