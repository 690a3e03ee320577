# Tells the state of the terminal $1: GNU, BusyBox and BSD name what is on, with a minus what is off.
e= m=
for w in $(stty -a <"$1" 2>/dev/null | tr ';' ' '); do
case $w in
echo) e=on ;;
-echo) e=off ;;
icanon) m=line ;;
-icanon) m=raw ;;
esac
done
[ -z "$e$m" ] || echo "sshepherd-echo $e $m"
