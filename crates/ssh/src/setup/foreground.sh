# Finds the foreground process group of a terminal: $1 its device or -, $2 a process on it. It is left in $g.
g=
case $1 in /dev/*) g=$(ps -o tpgid= -t "${1#/dev/}" 2>/dev/null | grep -v -e - | head -n 1 | tr -d ' ') ;; esac
case $g in '' | *[!0-9]*)
if [ -r "/proc/$2/stat" ]; then
s=$(cat "/proc/$2/stat")
set -- "$1" "$2" "$3" ${s##*) }
g=$9
else g=$(ps -o tpgid= -p "$2" | tr -d ' '); fi ;;
esac
case $g in '' | *[!0-9]* | 0 | 1)
echo sshepherd-foreground none
exit 1 ;;
esac
