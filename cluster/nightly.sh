#!/usr/bin/env bash
# Score one night on the cluster that `ray up` made:
#   cluster/nightly.sh aws.filled.yaml score.filled.yaml CPUS [DATE [ATTEMPT]]
# DATE is yesterday by UTC unless given. A night is submitted once; ATTEMPT (2, 3 ...) goes on with one that broke off.
# Exits 0 only when the night is scored; fit for cron.
set -euo pipefail
[ $# -ge 3 ] || { sed -n 's/^# \{0,1\}//;2,5p' "$0" >&2; exit 2; }
launcher=$1 job=$2 cpus=$3 night=${4:-$(date -u -d yesterday +%F)} attempt=${5:-1}
[[ $night =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}$ && $cpus =~ ^[0-9]+$ && $attempt =~ ^[0-9]+$ ]] ||
    { echo "error: CPUS and ATTEMPT are numbers, DATE is like 2026-11-22" >&2; exit 2; }

id=score-$night
[ "$attempt" = 1 ] || id=$id-r$attempt
file=/tmp/$id.yaml
text=$(sed "s/{date}/$night/g" "$job" | base64 -w0)
ray exec "$launcher" "echo $text | base64 -d > $file && ray job submit --address http://127.0.0.1:8265 \
--submission-id $id -- python /opt/ser-ray/workers.py $cpus -- python /opt/ser-ray/jobs/score.py $file"
