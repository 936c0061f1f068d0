#!/bin/sh
# on-a-mac.sh [PROGRAM]: what only a Mac can tell. Each line says what was found; WRONG where the source of nonoverlap
# takes for granted something else. Please send what it prints to the project, WRONG or not.
program=${1:-nonoverlap}
command -v "$program" >/dev/null || { echo "there is no $program" >&2; exit 64; }
case $program in */*) program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program") ;; esac
folder=$(mktemp -d) && cd "$folder" || exit 1
trap 'kill $(jobs -p) 2>/dev/null; cd / && rm -r "$folder"' EXIT
sw_vers -productVersion 2>/dev/null
uname -mrs
wrong=0

# is WHAT FOUND EXPECTED
is() {
  if [ "$2" = "$3" ]; then
    echo "ok: $1: $2"
  else
    echo "WRONG: $1: found $2, expected $3"
    wrong=$((wrong + 1))
  fi
}

# A run that is left running, by its options; returns when it holds the lock. Its PID is in $pid.
hold() {
  "$program" "$@" sh -c 'echo >held; exec sleep 20' &
  pid=$!
  until [ -e held ]; do
    kill -0 "$pid" 2>/dev/null || { echo "WRONG: this run ended: $*"; exit 1; }
    sleep 0.1
  done
  rm held
}

# Waits until a command succeeds, but not for ever.
within_10_s() {
  tries=100
  until "$@" || [ "$tries" = 0 ]; do
    tries=$((tries - 1))
    sleep 0.1
  done
}

free() {
  "$program" --status -q "$1"
  [ $? = 3 ]
}

# The holders that --status names, as JSON has them.
holders() {
  "$program" --status --json "$1" | grep -o '"holders":\[[^]]*' | grep -o '"pid":[0-9]*' | tr -dc '0-9\n' | sort -n
}

# 1. It starts at all: the Mach-O, its signature, its minimum of macOS 11.
is 'it starts' "$("$program" one echo started)" started

# 2. A run holds, and the next is refused (flock(2) on APFS).
hold two
"$program" two true
is 'the second run ends with' $? 1

# 3. F_GETLK tells of a flock, and proc_pidfdinfo shows FWASLOCKED: the holder is named.
is 'the holder is' "$(holders two)" "$pid"
kill "$pid"

# 4. A holder without a record is named as well.
hold -s four
is 'the holder of a shared lock is' "$(holders four)" "$pid"
kill "$pid"

# 5. The guardian's kqueue shows whose end it waits for (PROC_PIDFDKQUEUE_EXTINFO): the command is named, and not it.
hold -o five
is 'with --close the holder is' "$(holders five)" "$pid"

# 6. NOTE_EXIT comes when the command has ended, and the lock is free.
kill -9 "$pid"
wait "$pid" 2>/dev/null
within_10_s free five
"$program" --status -q five
is 'after the end of the command, --status ends with' $? 3

# 7. NOTE_EXITSTATUS tells how it ended.
"$program" -o --log log seven sh -c 'exit 3'
within_10_s grep -q ' ended after ' log
is 'the log tells' "$(grep -o 'status [0-9]*$' log)" 'status 3'

# 8. A caller's alarm is not late after exec (proc_inherit_itimers): of 60 s, 58 are left after 2.
perl -e 'use Time::HiRes "setitimer", "ITIMER_REAL"; setitimer(ITIMER_REAL, 60); sleep 2; exec @ARGV' "$program" eight \
  perl -e 'use Time::HiRes "getitimer", "ITIMER_REAL"; printf "%.0f\n", scalar getitimer(ITIMER_REAL)' >left
echo "note: of 60 s the command has $(cat left) s left: 58 where exec keeps a timer, 60 where perl's exec began it anew"
perl -e 'use Time::HiRes "setitimer", "ITIMER_REAL"; setitimer(ITIMER_REAL, 60); exec @ARGV' "$program" -b eight \
  perl -e 'use Time::HiRes "getitimer", "ITIMER_REAL"; printf "%.0f\n", scalar getitimer(ITIMER_REAL)' >left
is 'of 60 s the command has left' "$(cat left)" 60
hold eight
(sleep 3; kill "$pid") &
perl -e 'use Time::HiRes "setitimer", "ITIMER_REAL"; setitimer(ITIMER_REAL, 60); exec @ARGV' "$program" -b eight \
  perl -e 'use Time::HiRes "getitimer", "ITIMER_REAL"; print scalar(getitimer(ITIMER_REAL)) < 58 ? "less" : "all", "\n"' >left
is 'after a wait of 3 s the command has left' "$(cat left)" less

# 9. A FIFO cannot be locked.
mkfifo nine
"$program" nine true 2>said
is "a FIFO ends it with" $? 65

# 10. A helper beside the program is found through a symbolic link.
cp "$(command -v "$program")" real-nonoverlap
mkdir links
ln -s ../real-nonoverlap links/nonoverlap
printf '#!/bin/sh\necho beside >&2\nexit 69\n' >nonoverlap-here
chmod +x nonoverlap-here
links/nonoverlap here://x true 2>said
is 'the helper that answers is the one' "$(grep -o beside said)" beside

# 11. The guardian keeps nothing of its caller's: a pipe ends with its last user, and not with the job.
begun=$(date +%s)
bash -c 'exec 200>&1 >/dev/null; ulimit -Sn 100; exec "$0" -o eleven bash -c "exec 200>&-; exec sleep 5"' "$program" |
  { cat; date +%s >ended; }
took=$(($(cat ended) - begun))
is 'the pipe has ended before the job' "$([ "$took" -lt 4 ] && echo yes || echo "no, after $took s")" yes

# 12. cron's access (TCC): not wrong, but to be known.
crontab -l >/dev/null 2>said
echo "note: crontab -l ends with $?: $(head -1 said)"

echo "$wrong wrong"
[ "$wrong" = 0 ]
