# Read by bash as $ENV: a login shell that began in POSIX mode reads nothing else, so it reads its own files here.
exec 9<&-
set +o posix
shopt -u inherit_errexit 2>/dev/null
if [ -n "${SSHEPHERD_KEPT+x}" ]; then ENV=$SSHEPHERD_KEPT; unset SSHEPHERD_KEPT; else unset ENV; fi
[ "$HISTFILE" != ~/.sh_history ] || HISTFILE=~/.bash_history
__sshepherd_b=$'\e]133;B;sshepherd='$__sshepherd_nonce$'\a'
__sshepherd_c=$'\e]133;C;sshepherd='$__sshepherd_nonce$'\a'
__sshepherd_first() { __sshepherd_status=$?; return "$__sshepherd_status"; }
# The prompt's own marks are variables, so that an exported prompt carries no nonce.
__sshepherd_last() {
local b='$__sshepherd_b' c='$__sshepherd_c'
shopt -q promptvars || { b=$__sshepherd_b c=$__sshepherd_c; }
case $PS1 in *"\\[$b\\]") ;; *) PS1=$PS1"\\[$b\\]" ;; esac
case ${PS0-} in *"$c") ;; *) PS0=${PS0-}$c ;; esac
printf '\e]133;D;%s;sshepherd=%s\a\e]133;A;sshepherd=%s\a' "$__sshepherd_status" "$__sshepherd_nonce" "$__sshepherd_nonce" >&2
}
[ ! -r /etc/profile ] || . /etc/profile
if [ -r ~/.bash_profile ]; then . ~/.bash_profile
elif [ -r ~/.bash_login ]; then . ~/.bash_login
elif [ -r ~/.profile ]; then . ~/.profile
fi
if ! (PROMPT_COMMAND=) 2>/dev/null; then :
elif [[ ${BASH_VERSINFO[0]} -gt 5 || ${BASH_VERSINFO[0]}.${BASH_VERSINFO[1]} == 5.[1-9]* ]]; then
PROMPT_COMMAND=(__sshepherd_first "${PROMPT_COMMAND[@]}" __sshepherd_last)
else
PROMPT_COMMAND=__sshepherd_first$'\n'${PROMPT_COMMAND-}$'\n'__sshepherd_last
fi
