# What the manager runs, again whenever it ends: `script` of docs/cluster.example.toml.
# By now the disk of data is mounted at $HOME/data, and the secrets are files in $HOME/secrets.
# The cluster's file is to be copied there once, as $HOME/data/cluster.toml; without it this waits.
cd "$HOME/data" || exit
[ -f cluster.toml ] || exit
[ -d seuron ] || git clone --depth 1 https://example.org/my-project/seuron.git seuron
cd seuron || exit
mkdir -p secrets
# The broker's password is the one in the address that workers are given; the others are made here and stay.
[ -s secrets/redis-password ] || sed -n 's|^redis://:\(.*\)@.*|\1|p' "$HOME/secrets/broker" | tr -d '\n' > secrets/redis-password
sh docker/make-secrets.sh secrets
# Workers reach this machine by its name, which Airflow answers to as well.
SEURON_CLUSTER_FILE="$HOME/data/cluster.toml" SEURON_ADDRESS="$(metadata network-interfaces/0/ip)" \
    SEURON_HOSTS="$(hostname -s)" \
    docker compose -f docker-compose.yml -f docker-compose.cluster.yml up
