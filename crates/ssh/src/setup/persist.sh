# Goes on from start.sh with a session that outlives the connection: $2 start or resume, $3 the command, if any,
# $4 the session's name. Each session has a server of its own, which carries the cookie of its start.
unset TMUX STY
export SYSSCREENRC=/dev/null
mux() {
tmux -u -L "$__sshepherd_session" -f /dev/null "$@"
}
# The id of the screen session with exactly this name.
screen_id() {
screen -ls 2>/dev/null | while read -r i _; do
[ "${i#*.}" != "$__sshepherd_session" ] || { echo "$i"; break; }
done
}
has() {
command -v "$1" >/dev/null 2>&1
}
__sshepherd_session=sshepherd-$4
__sshepherd_mux=
if has tmux && mux has-session 2>/dev/null; then __sshepherd_mux=tmux
elif has screen && [ -n "$(screen_id)" ]; then __sshepherd_mux=screen
fi
case $2$__sshepherd_mux in
resume) has tmux || has screen || refuse "$1" no-multiplexer; refuse "$1" gone ;;
start) ;;
start*) refuse "$1" exists ;;
esac
# What runs inside: as it would outside, for an unknown shell takes no options.
inside() {
if [ -n "$1" ]; then echo 'sh -c "$1"'; else
case $SHELL in */*sh) echo '"$SHELL" -l' ;; *) echo '"$SHELL"' ;; esac
fi
}
# Some versions of tmux leave their socket behind.
last() {
echo 'case $(tmux list-panes -aF x) in x) rm -f "${TMUX%%,*}" ;; esac'
}
# tmux throws away what stands unread on the terminal when it takes it over, so the greeting comes after that, and the
# program after the greeting.
attach() {
(
t=$(mux display -p '#{pane_tty}')
mux wait-for "sshepherd-$$" >/dev/null 2>&1 && greet "$1" "$t" tmux plain
mux wait-for -S sshepherd >/dev/null 2>&1
) &
exec tmux -u -L "$__sshepherd_session" attach $2 \; wait-for -S "sshepherd-$$"
}
case $2$__sshepherd_mux in
start)
if has tmux; then
# It waits until somebody looks, so that no word of a short program is lost. The traps let it tidy up whatever happens.
mux start-server \; set -g status off \; set -g prefix None \; set -g prefix2 None \; set -s escape-time 20 \; \
set -g history-limit 10000 \; \
new-session -d sh -c "trap : HUP INT QUIT TERM; tmux wait-for sshepherd && $(inside "$3"); $(last)" sh "$3" >/dev/null 2>&1 ||
refuse "$1" failed
attach "$1"
elif has screen; then
greet "$1" - screen plain
exec screen -c /dev/null -U -ln -S "$__sshepherd_session" sh -c 'screen -X escape ""; screen -X defscrollback 10000; exec '"$(inside "$3")" sh "$3"
fi
refuse "$1" no-multiplexer ;;
resumetmux)
attach "$1" -d ;;
resumescreen)
greet "$1" - screen plain
exec screen -U -d -r "$(screen_id)" ;;
esac
