# What the manager runs, again whenever it ends: `script` of docs/cluster.example.toml.
# By now the disk of data is mounted at $HOME/data, and the secrets are files in $HOME/secrets.
cd "$HOME/data" || exit
[ -d seuron ] || git clone --depth 1 https://example.org/my-project/seuron.git seuron
ln -sfn "$HOME/secrets" seuron/secrets
cd seuron && docker compose up
