# Sets, beside `spot`, `h` and `t`, the folders that jobs are kept in (in the home, in /tmp), and `H` and `T`, the identities of these
# places: made once, by whoever comes first, with `n` as their words. `-` and nothing for a place that cannot keep any.
# Whoever made a folder, or a link in its place, could read and answer for the job.
ours() { [ -d "$1" ] || mkdir -p "$1"; [ -d "$1" ] && [ ! -h "$1" ] && [ -O "$1" ]; }
# A power cut may leave an empty file.
mark() {
[ ! -f "$1" ] || [ -s "$1" ] || rm -f "$1"
[ -f "$1" ] || { echo "$n" >"$1.$n" && ln "$1.$n" "$1"; rm -f "$1.$n"; }
x=
[ -h "$1" ] || [ ! -O "$1" ] || read -r x <"$1"
case $x in ''|*[!0-9a-f]*) x=- ;; esac
}
site() {
spot
t=/tmp/sshepherd-$(id -u) h= H=- T=-
case $HOME in *'
'*) ;; /*) h=$HOME/.sshepherd ;; esac
[ -z "$h" ] || ! ours "$h" || ! ours "$h/jobs" || { mark "$h/id"; H=$x; }
[ "$H" != - ] && h=$h/jobs || h=
# What lies in /tmp is worth as much as a boot lasts.
! ours "$t" || { mark "$t/id.$B"; T=$x; }
[ "$T" != - ] || t=
}
