# Read by zsh as .zshenv in a folder that goes at once; then zsh goes on with the account's own files.
if [[ ${ZDOTDIR:t} == sshepherd.?????? ]]; then
command rm -f -- "$ZDOTDIR/.zshenv"
command rmdir -- "$ZDOTDIR"
fi 2>/dev/null
if [[ -n ${SSHEPHERD_KEPT+x} ]]; then ZDOTDIR=$SSHEPHERD_KEPT; unset SSHEPHERD_KEPT; else unset ZDOTDIR; fi
# The last of the hooks, for others may set the prompt; the number of a prompt's mark in an exported prompt would go to all
# programs, so the prompt is not exported.
__sshepherd_precmd() {
local s=$?
emulate -L zsh
local b=$'%{\e]133;B;sshepherd='$__sshepherd_nonce$'\a%}'
[[ $PS1 == *"$b" ]] || { typeset -g +x PS1; PS1=$PS1$b }
[[ ${precmd_functions[-1]} == __sshepherd_precmd ]] ||
precmd_functions=(${precmd_functions:#__sshepherd_precmd} __sshepherd_precmd)
(( ${preexec_functions[(I)__sshepherd_preexec]} )) || preexec_functions+=(__sshepherd_preexec)
printf '\e]133;D;%s;sshepherd=%s\a\e]133;A;sshepherd=%s\a' $s $__sshepherd_nonce $__sshepherd_nonce >&2
}
__sshepherd_preexec() {
emulate -L zsh
printf '\e]133;C;sshepherd=%s\a' $__sshepherd_nonce >&2
}
precmd_functions+=(__sshepherd_precmd)
[[ ! -r ${ZDOTDIR-$HOME}/.zshenv ]] || . ${ZDOTDIR-$HOME}/.zshenv
