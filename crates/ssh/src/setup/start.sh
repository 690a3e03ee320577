# Starts an interactive program under a PTY.
# $1 the cookie as NAME=VALUE, then: $1 nonce; $2 what: shell, command, start or resume; $3 the command;
# $4 the session's name; $5 `asks` if variables are to come; $6 to $9 what bash, zsh, fish and other shells read first.
# On the terminal: `sshepherd-NONCE ?` where variables are to be typed, as lines of a text behind `NONCE ` up to a line with
# the nonce alone; a line without it was typed by somebody else, and nothing is run. Then, once,
# `sshepherd-NONCE PID TTY KIND MARKS` (marks or plain) or `sshepherd-NONCE ! REASON`; then the program takes this process
# over. Nothing is assigned to a variable that an account may have exported.
export "$1"
shift
greet() {
printf 'sshepherd-%s %s %s %s %s\n' "$1" "$$" "$2" "$3" "$4"
}
refuse() {
printf 'sshepherd-%s ! %s\n' "$1" "$2"
exit 1
}
terminal() {
case $(tty 2>/dev/null) in /*) tty ;; *) echo - ;; esac
}
kind() {
case ${SHELL##*/} in
bash | zsh | fish) echo "${SHELL##*/}" ;;
sh | dash | ash | ksh | ksh93 | mksh | oksh | pdksh) echo sh ;;
*) echo none ;;
esac
}
# The account's shell with nothing added.
plain() {
case ${SHELL##*/} in
bash | zsh | fish | sh | dash | ash | ksh | ksh93 | mksh | oksh | pdksh | rbash | csh | tcsh) exec "$SHELL" -l ;;
*) exec "$SHELL" ;;
esac
}
# Whether a program can read by name what stands on a descriptor.
named() {
(
([ -r /dev/fd/9 ]) 9<<E

E
) 2>/dev/null
}
# Bash before 4 reads no $ENV on some systems.
modern() {
BASH_ENV= "$SHELL" --norc -c '[ "${BASH_VERSINFO:-0}" -ge 4 ]' </dev/null >/dev/null 2>&1
}
# A folder for zsh, which reads its first file in $ZDOTDIR or not at all; $1 is the nonce, $2 the file.
folder() (
umask 077
! cat /etc/zshenv /etc/zsh/zshenv 2>/dev/null | grep -q ZDOTDIR || exit 1
d=$(mktemp -d "${TMPDIR:-/tmp}/sshepherd.XXXXXX") || exit 1
if printf '__sshepherd_nonce=%s\n%s' "$1" "$2" >"$d/.zshenv"; then echo "$d"; else
rm -f "$d/.zshenv"
rmdir "$d"
exit 1
fi
) 2>/dev/null
# What the account itself has in $1 is given back by what the shell reads first.
lend() {
eval "[ -z \"\${$1+x}\" ] || export SSHEPHERD_KEPT=\"\$$1\"; export $1=\"\$2\""
}
marked() {
case $(kind) in
bash)
if named && modern; then
greet "$1" "$(terminal)" bash marks
lend ENV /dev/fd/9
exec "$SHELL" --login --posix -i 9<<E
__sshepherd_nonce=$1
$6
E
fi ;;
zsh)
__sshepherd_folder=$(folder "$1" "$7")
if [ -n "$__sshepherd_folder" ]; then
greet "$1" "$(terminal)" zsh marks
lend ZDOTDIR "$__sshepherd_folder"
exec "$SHELL" -l -i
fi ;;
fish)
if named; then
greet "$1" "$(terminal)" fish marks
exec "$SHELL" -l -i -C 'cat </dev/fd/9 | source' 9<<E
set -g __sshepherd_nonce $1
$8
E
fi ;;
sh)
if named; then
greet "$1" "$(terminal)" sh marks
lend ENV /dev/fd/9
exec "$SHELL" -i 9<<E
__sshepherd_nonce=$1
$9
E
fi ;;
esac
greet "$1" "$(terminal)" "$(kind)" plain
plain
}
if [ "$5" = asks ]; then
__sshepherd_tty=$(stty -g)
stty -echo
printf 'sshepherd-%s ?\n' "$1"
__sshepherd_e=
while IFS= read -r __sshepherd_l || exit 1; [ "$__sshepherd_l" != "$1" ]; do
case $__sshepherd_l in
"$1 "*) __sshepherd_e="$__sshepherd_e${__sshepherd_l#"$1 "}
" ;;
*)
stty "${__sshepherd_tty:-echo}"
refuse "$1" typed ;;
esac
done
stty "${__sshepherd_tty:-echo}"
eval "unset __sshepherd_tty __sshepherd_e __sshepherd_l;$__sshepherd_e"
fi
: "${SHELL:=/bin/sh}"
case $2 in
shell) marked "$@" ;;
command)
greet "$1" "$(terminal)" none plain
exec sh -c "$3" ;;
esac
