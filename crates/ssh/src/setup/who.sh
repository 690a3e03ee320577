# Goes on from foreground.sh: tells whose program leads it, and which.
set -- $(ps -o user= -o comm= -p "$g" 2>/dev/null)
echo "sshepherd-foreground $1 ${2##*/}"
