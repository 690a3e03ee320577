# Ends commands, many at once. Two looks at all processes serve every one of them: what is found at first gets TERM, then only
# that is looked at until it has gone, got KILL, and gone, and the second look sees whether anything else is left.
# Ten arguments for each command: its number; the process that leads it or `-`; when it began, as ticks of the host's boot,
# as `-SECONDS` ago or `-`; its cookie; tenths of a second between HUP to its leader and TERM, 0 for no HUP; tenths between
# TERM and KILL; its job's folder, which knows leader and begin better, or `-`; of that, what here.sh takes: elsewhere nothing is done; what
# it is stopped for, `over` or `stopped`: the name that `end` gets there. A job that had ended by itself keeps its end, and what it left.
# On fd 3: `sshepherd-stop begun`, `sshepherd-stop looked`, and for each number once `gone`, `left PID …` or `unseen`.
LC_ALL=C
export LC_ALL
echo 'sshepherd-stop begun' >&3
# The process that leads the job in folder `d`, while the number is the job's own.
own() {
P=- S=- b=-
if read -r q s x <"$d/pid"; then
read -r b </proc/sys/kernel/random/boot_id
[ "$b" = "$x" ] || return
P=$q S=$s
if read -r x <"/proc/$q/stat"; then
set -- ${x##*) }
[ "${20}" = "$s" ] || P=-
else
for f in "$d"/rc.*; do [ ! -f "$f" ] || P=-; done
fi
else
# It is being started: what comes of it cannot be seen.
[ ! -d "$d" ] || S=unknown
for f in "$d"/rc.*; do [ ! -f "$f" ] || S=-; done
fi
}
T=
while [ "$#" -ge 10 ]; do
i=$1 P=$2 S=$3 C=$4 h=$5 g=$6 d=$7
if [ "$8 $9" != "- -" ] && ! here "$8" "$9"; then
echo "sshepherd-stop $i unseen" >&3
shift 10
continue
fi
m=${10}
shift 10
if [ "$m" != - ]; then
mv "$d/end" "$d/$m"
[ ! -f "$d/ended" ] || { echo "sshepherd-stop $i unseen" >&3; continue; }
fi
[ "$d" = - ] || own
T="$T$i $P $S $C $h $g
"
done
# `$$` is another process where this runs in a subshell.
me=$(exec sh -c 'echo "$PPID"')
# Who adopts what loses its parent is seen by losing one.
reaper=$( (
read -r a </proc/self/stat || exit
a=${a%% *}
(while read -r b </proc/self/stat; do
set -- ${b##*) }
[ "$2" != "$a" ] || continue
echo "$2"
exit
done) &
) )
# Without sight of processes their group is all that can be reached, and nothing is confirmed.
each() {
while read -r i P S C h g; do
case $P in ''|*[!0-9]*) ;; *) "$@" ;; esac
done <<E
$T
E
}
group() { kill "-$1" "-$P"; }
lives() { ! kill -0 "-$P" || a=1; }
longest() { [ "$g" -le "$n" ] || n=$g; }
wait_for_groups() {
while [ "$n" -gt 0 ]; do
a=
each lives
[ -n "$a" ] || return
if sleep 0.1; then n=$((n - 1)); else sleep 1; n=$((n - 10)); fi
done
}
blind() {
n=1
each longest
each group TERM
each group CONT
wait_for_groups
each group KILL
n=10
wait_for_groups
while read -r i P; do [ -z "$i" ] || echo "sshepherd-stop $i unseen" >&3; done <<E
$T
E
}
# All processes are read through grep, which passes over those that go meanwhile: mawk ends where one goes between the opening and
# the reading of its file. Where that meets one of the few files that are read here, all is looked at anew.
tries=
until printf '%s' "$T" | awk -v me="$me" -v reaper="${reaper:-1}" -v stats="cd /proc && grep -a -s -H -e '' [0-9]*/stat" -v marks="cd /proc && grep -a -s -o -H -e 'SSHEPHERD_TASK=[A-Za-z0-9:._-][A-Za-z0-9:._-]*' -e 'SSHEPHERD_JOB=[A-Za-z0-9]' -e 'SSH_CONNECTION=[0-9A-Za-z.:%]* [0-9]*' [0-9]*/environ" '
function say(text) { print "sshepherd-stop " text; fflush() }
function clock(  line, part) {
if (!proc) return ticked
getline line <"/proc/uptime"
close("/proc/uptime")
split(line, part, " ")
return part[1] + 0
}
function stat(pid,  file, line, text) {
file = "/proc/" pid "/stat"
text = ""
while ((getline line <file) > 0) text = text line
close(file)
return fields(text)
}
# Those behind the name, which may hold anything.
function fields(text) {
if (!match(text, /.*\) /)) return 0
return split(substr(text, RLENGTH + 1), field, " ") >= 20
}
# A dead leader may have threads that run.
function runs() { return field[1] !~ /^[ZX]/ || field[1] ~ /^Z/ && field[18] > 1 }
function note(pid, up, in_group, in_session, began) {
parent[pid] = up
group[pid] = in_group
session[pid] = in_session
start[pid] = began
if (!(in_session in oldest) || began + 0 < oldest[in_session]) oldest[in_session] = began + 0
}
# `[[days-]hours:]minutes:seconds`
function age(text,  part, n, days) {
days = 0
if (split(text, part, "-") == 2) { days = part[1]; text = part[2] }
n = split(text, part, ":")
return ((days * 24 + (n > 2 ? part[n - 2] : 0)) * 60 + part[n - 1]) * 60 + part[n]
}
function look(  pid, line, at, n, all, i, text) {
split("", parent); split("", group); split("", session); split("", start); split("", oldest)
split("", owner); split("", cookie); split("", link); split("", user); split("", watcher)
if (proc) {
while ((marks | getline line) > 0) {
at = index(line, "/environ:")
pid = substr(line, 1, at - 1)
line = substr(line, at + 9)
at = index(line, "=")
if (substr(line, 1, at) == "SSH_CONNECTION=") link[pid] = line
else if (substr(line, 1, at) == "SSHEPHERD_JOB=") watcher[pid] = 1
else cookie[pid] = substr(line, at + 1)
}
close(marks)
while ((stats | getline line) > 0) {
at = index(line, "/stat:")
pid = substr(line, 1, at - 1)
text[pid] = text[pid] substr(line, at + 6)
}
close(stats)
for (pid in text) if (fields(text[pid]) && runs()) note(pid, field[2], field[3], field[4], field[20])
} else {
all = "ps -A -o pid= -o ppid= -o pgid= -o stat= -o uid= -o etime="
while ((all | getline line) > 0) {
split(line, field, " ")
if (field[4] ~ /^[ZX]/) continue
note(field[1], field[2], field[3], field[3], clock() - age(field[6]))
user[field[1]] = field[5]
}
close(all)
}
split("", above)
for (pid = me; (pid in parent) && !(pid in above); pid = parent[pid]) above[pid] = 1
for (pid in parent) {
i = whose(pid)
if (i == "" || i == "self" || (pid in known) && same(pid)) continue
known[pid] = i
since[pid] = start[pid]
kin[i] = kin[i] " " pid
fresh[i] = fresh[i] " " pid
if (!(i in seen)) { seen[i] = pid; if (proc) { audit[i] = first("/proc/" pid "/sessionid"); scope[i] = whole("/proc/" pid "/cgroup") } }
if (pid in link) linked[i] = link[pid]
if (pid == P[i] && (S[i] == "-" || (i in reckoned))) S[i] = start[pid]
}
}
function same(pid) { return !proc || since[pid] == start[pid] }
# A number is its own while the leader that carries it began when it should.
function leads(pid,  i) {
if (!(pid in by_leader)) return ""
i = by_leader[pid]
if (!(pid in parent) || !proc) return i
if (pid in known) return same(pid) ? i : ""
return S[i] == "-" || start[pid] <= S[i] + 700 ? i : ""
}
function kept(pid) { return (pid in known) && (!(pid in parent) || same(pid)) ? known[pid] : "" }
# The command that a process belongs to, if any; `self` for this script.
function whose(pid,  up, i) {
if (pid in owner) return owner[pid]
owner[pid] = ""
if (pid == me) return owner[pid] = "self"
up = parent[pid] in parent ? whose(parent[pid]) : ""
if (up == "self") return owner[pid] = up
i = ""
if ((pid in cookie) && (cookie[pid] in by_cookie)) i = by_cookie[cookie[pid]]
if (i == "") i = kept(pid)
if (i == "") i = leads(pid)
if (i == "") i = leads(group[pid])
if (i == "") i = leads(session[pid])
if (i == "" && !(session[pid] in above)) i = kept(session[pid])
if (i == "" && !(group[pid] in above)) i = kept(group[pid])
if (i == "") i = up
return owner[pid] = i
}
function first(file,  line) { line = ""; getline line <file; close(file); return line }
function whole(file,  line, text) {
text = ""
while ((getline line <file) > 0) text = text line "\n"
close(file)
return text
}
function ids(pid,  file, line, text) {
if (!proc) return user[pid]
file = "/proc/" pid "/status"
text = ""
while ((getline line <file) > 0) if (line ~ /^Uid:/) { split(line, field, "\t"); text = field[2] }
close(file)
return text
}
function count(what,  line) { line = 0; what | getline line; close(what); return line + 0 }
# What has lost its parent may have been started by anything; of this account, that began in no session which others lead.
function loose(pid,  leader) {
if (whose(pid) != "" || parent[pid] != reaper && parent[pid] != 1 || (pid in cookie) || (pid in watcher) || (pid in above)) return 0
leader = session[pid]
if (leader != pid && (leader in parent) && !(leader in above)) return 0
if (ids(pid) != account) return 0
if (!proc) return 1
# A session of the server outlives the listener that it had. Its title takes the place of its environment.
if (count("grep -c -a -s -e \047^sshd[a-z-]*: [^/ ]*@\047 -e \047^sshd[a-z-]*: [^/]*[[]\047 /proc/" pid "/cmdline")) return 0
# Who watches over another job, where programs run without `exec` and show no mark.
if (count("grep -c -a -s -e /.sshepherd/jobs/ -e /tmp/sshepherd- /proc/" pid "/cmdline")) return 0
return 1
}
function of_log_in(pid, i,  number, place) {
if (!proc) return 1
if ((pid in link) && linked[i] != "") return link[pid] == linked[i]
number = first("/proc/" pid "/sessionid")
if (number != "" && number != "4294967295" && audit[i] != "" && audit[i] != "4294967295") return number == audit[i]
place = whole("/proc/" pid "/cgroup")
if (place != scope[i]) return 0
# Where nothing tells log-ins apart, all that the first process starts is root`s own: then only what has shed its environment counts.
return account != 0 || place != whole("/proc/" reaper "/cgroup") || !count("grep -c -a -s PATH= /proc/" pid "/environ")
}
function began(pid) { return session[pid] in above ? start[pid] : oldest[session[pid]] }
function strays(i,  pid, text) {
text = ""
if (S[i] == "-" || S[i] == "unknown") return text
if (!(i in seen) && proc) { audit[i] = first("/proc/" me "/sessionid"); scope[i] = whole("/proc/" me "/cgroup"); linked[i] = mine }
for (pid in astray) if (began(pid) + 0 >= S[i] + 0 && of_log_in(pid, i)) { text = text " " pid; since[pid] = start[pid] }
return text
}
# Those of a list that run.
function living(list,  part, n, i, text, all, line, run) {
n = split(list, part, " ")
text = ""
if (proc) {
for (i = 1; i <= n; i++) if (stat(part[i]) && runs() && field[20] == since[part[i]]) text = text " " part[i]
return text
}
if (!n) return text
gsub(/^ +/, "", list); gsub(/ +/, ",", list)
all = "ps -o pid= -o stat= -p " list
while ((all | getline line) > 0) { split(line, field, " "); if (field[2] !~ /^[ZX]/) text = text " " field[1] }
close(all)
return text
}
function send(name, list) {
if (list == "") return
to[name] = to[name] list
if (length(to[name]) > 60000) flush()
}
function flush(  name) {
for (name in to) if (to[name] != "") system("kill -" name to[name] " >/dev/null 2>&1")
split("", to)
}
function term(i, list) {
send("TERM", list); flush()
send("CONT", list); flush()
}
function begin_term(i, list) { term(i, list); state[i] = "term"; till[i] = now + grace[i] / 10 }
function end(i, list,  part, n, j, text) {
state[i] = "done"
undone--
n = split(list, part, " ")
text = ""
for (j = 1; j <= n && j <= 8; j++) text = text " " part[j]
say(i " " (n ? "left" text : S[i] == "unknown" ? "unseen" : "gone"))
}
function pause(  length_of) {
length_of = polls < 4 ? 0.05 : polls < 8 ? 0.1 : 0.2
polls++
if (whole_seconds || system("sleep " length_of " >/dev/null 2>&1")) { whole_seconds = 1; length_of = 1; system("sleep 1") }
ticked += length_of
now = clock()
}
# What is found late gets what the others got.
function late(i) {
if (state[i] == "kill") send("KILL", fresh[i])
else if (state[i] == "term") { send("TERM", fresh[i]); send("CONT", fresh[i]) }
}
function judge(  i, pid) {
look()
split("", astray)
for (pid in parent) if (loose(pid)) astray[pid] = 1
for (i in state) {
if (state[i] == "done" || state[i] == "wait") continue
if (fresh[i] != "") { late(i); fresh[i] = ""; continue }
if (!(i in ready)) continue
delete ready[i]
left[i] = strays(i)
if (left[i] == "") end(i, "")
else { state[i] = "wait"; till[i] = now + 0.5 }
}
flush()
}
BEGIN {
while ((getline line) > 0) {
if (split(line, part, " ") < 6) continue
i = part[1]
P[i] = part[2]; S[i] = part[3]; hup[i] = part[5]; grace[i] = part[6]
if (P[i] ~ /^[0-9]+$/) by_leader[P[i]] = i
by_cookie[part[4]] = i
state[i] = "new"; kin[i] = ""; fresh[i] = ""; linked[i] = ""
undone++
}
proc = stat("self")
ticked = 0
now = clock()
for (i in state) if (S[i] ~ /^-[0-9]/) { S[i] = proc ? (now + S[i] - 2) * 100 : S[i] - 2; reckoned[i] = 1 }
look()
if (!(me in parent)) exit 1
account = ids(me)
mine = me in link ? link[me] : ""
say("looked")
for (i in state) {
cap[i] = now + (hup[i] + grace[i]) / 10 + 4
fresh[i] = ""
if (hup[i] > 0 && (P[i] in known) && (P[i] in parent)) { send("HUP", " " P[i]); send("CONT", " " P[i]); state[i] = "hup"; till[i] = now + hup[i] / 10 }
else begin_term(i, kin[i])
}
flush()
while (undone > 0) {
waiting = 0
for (i in state) {
if (state[i] == "done") continue
if (state[i] == "wait") {
left[i] = living(left[i])
if (left[i] == "" || now >= till[i]) end(i, left[i])
continue
}
lives = living(kin[i])
if (lives == "") {
if (!(i in ready)) { ready[i] = 1; changed = now; if (!pending) begun = now; pending = 1 }
continue
}
if (i in ready) delete ready[i]
waiting++
if (state[i] == "hup" && (now >= till[i] || index(lives " ", " " P[i] " ") == 0)) begin_term(i, lives)
else if (state[i] == "term" && now >= till[i]) { send("KILL", lives); flush(); state[i] = "kill"; till[i] = now + 2 }
else if (state[i] == "kill" && now >= till[i]) { end(i, lives); continue }
if (now >= cap[i]) end(i, lives)
}
some = 0
for (i in ready) some = 1
if (some && (!waiting || now - changed >= 0.25 || now - begun >= 1)) { judge(); pending = 0 }
if (undone > 0) pause()
}
exit 0
}
' >&3; do
tries=x$tries
[ "$tries" != xxxxxxxxx ] || { blind; break; }
done
