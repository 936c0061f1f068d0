# A PID-file wrapper of the old kind: pidfile.sh FILE COMMAND [ARG...]. The storm must catch it.
file=$1
shift

# Check the file, check the process ...
if [ -e "$file" ] && kill -0 "$(cat "$file")"; then
    exit 1
fi 2>/dev/null

# ... and whoever checks before the file is written runs as well. That gap is microseconds wide and
# lets two in every other time that 200 come at once; a tenth of a second makes it every time.
sleep 0.1

echo $$ >"$file"
"$@"
status=$?
rm -f "$file"
exit "$status"
