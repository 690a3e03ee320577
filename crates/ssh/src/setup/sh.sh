# Read by a POSIX shell as $ENV; it is no login shell, for a profile that sets $ENV would undo this, so it reads its
# profiles here and then what they say.
exec 9<&-
if [ -n "${SSHEPHERD_KEPT+x}" ]; then ENV=$SSHEPHERD_KEPT; unset SSHEPHERD_KEPT; else unset ENV; fi
__sshepherd_a=$(printf '\033]133;A;sshepherd=%s\007' "$__sshepherd_nonce")
__sshepherd_b=$(printf '\033]133;B;sshepherd=%s\007' "$__sshepherd_nonce")
__sshepherd_d=$(printf '\033]133;D;')
__sshepherd_e=$(printf ';sshepherd=%s\007' "$__sshepherd_nonce")
[ ! -r /etc/profile ] || . /etc/profile
[ ! -r "$HOME/.profile" ] || . "$HOME/.profile"
case ${KSH_VERSION-} in
*MIRBSD*) : "${ENV=$HOME/.mkshrc}" ;;
*AJM*) : "${ENV=$HOME/.kshrc}" ;;
esac
eval "__sshepherd_env=\"${ENV-}\""
[ -z "$__sshepherd_env" ] || [ ! -r "$__sshepherd_env" ] || . "$__sshepherd_env"
# Line editors must not count the marks: each has its own way to say so.
__sshepherd_open= __sshepherd_close=
case ${BB_ASH_VERSION+b}${BASH_VERSION+b}${KSH_VERSION-} in
b* | *'PD KSH'*) __sshepherd_open='\[' __sshepherd_close='\]' ;;
*MIRBSD*)
__sshepherd_open=$(printf '\001')
case $PS1 in
?"$(printf '\r')"*) __sshepherd_open=$(printf %.1s "$PS1") PS1=${PS1#??} ;;
esac
__sshepherd_close=$__sshepherd_open ;;
esac
PS1=$__sshepherd_open'${__sshepherd_d}$?${__sshepherd_e}${__sshepherd_a}'$__sshepherd_close$PS1$__sshepherd_open'${__sshepherd_b}'$__sshepherd_close
case ${KSH_VERSION-} in
*MIRBSD*) PS1=$__sshepherd_open$(printf '\r')$PS1 ;;
esac
