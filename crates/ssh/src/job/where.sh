# Where a text runs. `spot` sets `B`, the boot, and `M`, the beginning of the machine's own name; `-` for what there is not.
spot() {
B=- M=-
[ ! -r /proc/sys/kernel/random/boot_id ] || read -r B </proc/sys/kernel/random/boot_id
[ ! -r /etc/machine-id ] || read -r M </etc/machine-id
M=${M%"${M#????????}"}
case $M in ''|*[!0-9a-f]*) M=- ;; esac
}
