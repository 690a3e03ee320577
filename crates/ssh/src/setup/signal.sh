# Goes on from foreground.sh: sends it the signal $3.
if kill -s "$3" -- "-$g"; then echo sshepherd-signal sent; else echo sshepherd-signal failed; fi
