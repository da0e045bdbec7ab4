#!/usr/bin/env bash
# Score one night on the cluster that `ray up` made:
#   cluster/nightly.sh aws.filled.yaml score.filled.yaml CPUS [DATE]
# DATE is yesterday by UTC unless given. A night is submitted once, and again only where it broke off, to go on.
# Exits 0 only when the night is scored, else with the job's code (75: run it again); fit for cron.
set -euo pipefail
[ $# -ge 3 ] || { sed -n 's/^# \{0,1\}//;2,5p' "$0" >&2; exit 2; }
launcher=$1 job=$2 cpus=$3 night=${4:-yesterday}
[[ $night =~ ^(yesterday|[0-9]{4}-[0-9]{2}-[0-9]{2})$ && $cpus =~ ^[0-9]+$ ]] ||
    { echo "error: CPUS is a number, DATE is like 2026-11-22" >&2; exit 2; }

file=/tmp/score-$(date -u +%s).yaml
ended="night ended with"   # `ray exec` itself tells no code but 1
status=0
exec 3>&1
said=$(ray exec "$launcher" "echo $(base64 -w0 "$job") | base64 -d > $file && ser-ray submit score $file \
--address http://127.0.0.1:8265 --cpus $cpus --date $night; echo $ended \$?" | tee >(cat >&3)) || status=$?
code=$(sed -n "s/^$ended \([0-9]\{1,\}\).*/\1/p" <<< "$said" | tail -n 1)
exit "${code:-$status}"
