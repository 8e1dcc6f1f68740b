#!/bin/sh
# Makes the secrets of docker-compose.yml, once: what is there stays. Needs nothing but a shell and coreutils.
# The folder is closed to other users of the machine; the files in it are open, because the containers, which
# see the files and not the folder, run as users of their own.
set -eu
folder="${1:-secrets}"
mkdir -p "$folder"
chmod 700 "$folder"

random() { head -c "$1" /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n'; }
word() { random 24 | tr -d '='; }
# Writes standard input to a file that is not there yet, whole or not at all.
make() {
    if [ -e "$folder/$1" ]; then cat >/dev/null; return; fi
    cat >"$folder/$1.partial"
    chmod 444 "$folder/$1.partial"
    mv "$folder/$1.partial" "$folder/$1"
    echo "made $folder/$1"
}

word | make postgres-password
word | make redis-password
database="airflow:$(cat "$folder/postgres-password")@postgres:5432/airflow"
printf 'postgresql+psycopg2://%s' "$database" | make database-url
printf 'postgresql+asyncpg://%s' "$database" | make database-url-async
printf 'redis://:%s@redis:6379/0' "$(cat "$folder/redis-password")" | make broker-url
{
    echo "requirepass $(cat "$folder/redis-password")"
    echo "appendonly yes"
    echo "appendfsync everysec"
    echo 'save ""'
    echo "maxmemory-policy noeviction"
    echo "dir /data"
} | make redis.conf
random 32 | make fernet-key
word | make api-secret-key
random 66 | make jwt-secret
# The user by whom a cluster's scaling asks Airflow what waits.
printf 'scaling:%s' "$(word)" | make scaling-login
scaling="$(cut -d: -f2 "$folder/scaling-login")"
printf '{"admin": "%s", "scaling": "%s"}' "$(word)" "$scaling" | make passwords.json
if ! grep -qF "\"$scaling\"" "$folder/passwords.json"; then
    echo "$folder/passwords.json does not know the user of $folder/scaling-login: add \"scaling\" with that password" >&2
    exit 1
fi
word | make grafana-password
