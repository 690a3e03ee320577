# Read by fish after its configuration.
function __sshepherd_prompt --on-event fish_prompt
set -l s $status
printf '\e]133;D;%s;sshepherd=%s\a\e]133;A;sshepherd=%s\a' $s $__sshepherd_nonce $__sshepherd_nonce
end
function __sshepherd_preexec --on-event fish_preexec
printf '\e]133;C;sshepherd=%s\a' $__sshepherd_nonce
end
functions -c fish_prompt __sshepherd_own_prompt
function fish_prompt
__sshepherd_own_prompt
printf '\e]133;B;sshepherd=%s\a' $__sshepherd_nonce
end
