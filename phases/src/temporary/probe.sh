# Tries every target in the arguments and says in the termination message what came of each, one line a target:
# the target, a word (ok refused timeout noname failed), and what the tool said. Only what busybox has is used.
# A target is the scheme tcp with host and port, or the scheme dns with a name.
out=${OUT:-/dev/termination-log}
tries=${TRIES:-3}
patience=${PATIENCE:-3}

# A command, for so many seconds at most; 143 when its time was over. It reads from nothing.
limited() {
  seconds=$1
  shift
  "$@" </dev/null &
  child=$!
  (sleep "$seconds"; kill "$child") >/dev/null 2>&1 &
  clock=$!
  wait "$child"
  code=$?
  kill "$clock" 2>/dev/null
  return $code
}

one_line() {
  printf '%s' "$1" | tr '\t\r\n' '   ' | cut -c 1-140
}

# Sets word, detail and, for a name that is found, address. The tool asks for both kinds of address, and one kind may
# be missing, so its output decides and not its exit code.
look_up() {
  said=$(limited $((patience + 2)) nslookup "$1" 2>&1)
  code=$?
  found=$(printf '%s\n' "$said" | sed -n '/^Name:/,$s/^Address[^:]*:[[:space:]]*\([^[:space:]]*\).*/\1/p')
  address=$(printf '%s\n' "$found" | grep -v : | head -n 1)
  address=${address:-$(printf '%s\n' "$found" | head -n 1)}
  detail=$(one_line "$said")
  if [ -n "$address" ]; then
    word=ok detail=$address
  else
    case $code:$said in
      127:*) word=failed ;;
      143:* | *'timed out'* | *'no servers could be reached'*) word=timeout detail="${detail:-no answer}" ;;
      *NXDOMAIN* | *"an't resolve"* | *"an't find"* | *'No answer'*) word=noname ;;
      *) word=failed ;;
    esac
  fi
}

# The tool gives up by itself when nothing answers; one that still runs after that is connected.
connect() {
  host=${1%:*}
  port=${1##*:}
  case $host in
    *[!0-9.]*)
      look_up "$host"
      [ "$word" = ok ] || return
      host=$address ;;
  esac
  said=$(limited $((patience + 2)) nc -w "$patience" "$host" "$port" 2>&1 >/dev/null)
  code=$?
  detail=$(one_line "$said")
  case $code:$said in
    0:* | 143:*) word=ok detail=connected ;;
    127:*) word=failed ;;
    *efused*) word=refused ;;
    *'timed out'*) word=timeout ;;
    *) word=failed ;;
  esac
}

probe() {
  left=$tries
  while :; do
    case $1 in
      tcp:*) connect "${1#tcp://}" ;;
      dns:*) look_up "${1#dns:}" ;;
      *) word=failed detail='not a target' ;;
    esac
    left=$((left - 1))
    if [ "$word" = ok ] || [ "$left" -le 0 ]; then
      break
    fi
    sleep 1
  done
  # One write a line, so that targets that end together do not mix.
  printf '%s %s %s\n' "$1" "$word" "$detail" >>"$out"
}

for target in "$@"; do
  probe "$target" &
done
wait
