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
__sshepherd_mux= __sshepherd_n=
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
# Until the terminal is there; ends where none comes.
waits() {
echo 'until case $(screen -ls "$STY") in *"(Attached)"*) ;; *) false ;; esac; do
n=x$n; [ "${#n}" -lt 100 ] || exit 1; sleep 0.1 || sleep 1; done 2>/dev/null; unset n'
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
# It has no key of its own before anybody's first byte can reach it: it starts apart, is told so, and its terminal comes
# after that on the same socket. What runs inside waits for the terminal, and never runs without one.
screen -c /dev/null -U -ln -h 10000 -d -m -S "$__sshepherd_session" sh -c "$(waits); exec $(inside "$3")" sh "$3" ||
refuse "$1" failed
until screen -S "$__sshepherd_session" -X escape "" >/dev/null 2>&1; do
__sshepherd_n=x$__sshepherd_n
[ "${#__sshepherd_n}" -lt 100 ] || refuse "$1" failed
sleep 0.1 || sleep 1
done 2>/dev/null
greet "$1" - screen plain
exec screen -U -r "$(screen_id)"
fi
refuse "$1" no-multiplexer ;;
resumetmux)
attach "$1" -d ;;
resumescreen)
greet "$1" - screen plain
exec screen -U -d -r "$(screen_id)" ;;
esac
