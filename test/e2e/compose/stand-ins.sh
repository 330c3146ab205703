#!/bin/sh
# Local stand-ins for the two base images of deploy/ and docker-compose.yml, where no image registry can be reached: from
# what this machine has installed, with `docker import`. Debian and its relatives.
#
#   sh test/e2e/compose/stand-ins.sh        prints what docker compose needs to know to use them:
#   NODE_IMAGE=vfiolab-stand-in-node NATS_IMAGE=vfiolab-stand-in-nats
#
# The first is a Debian with Node where the official image has it (/usr/local, user node with id 1000), a compiler, and npm's
# cache, from which dependencies are installed. The second is nats-server with its libraries.
set -eu
NODE_IMAGE=${NODE_IMAGE:-vfiolab-stand-in-node}
NATS_IMAGE=${NATS_IMAGE:-vfiolab-stand-in-nats}
DOCKER=${DOCKER:-docker}
# Made once: other images would have the image of the services built anew. `docker rmi` both to renew them.
if "$DOCKER" image inspect "$NODE_IMAGE" "$NATS_IMAGE" > /dev/null 2>&1; then
  echo "NODE_IMAGE=$NODE_IMAGE NATS_IMAGE=$NATS_IMAGE"
  exit
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# Copies files with the links that lead to them.
copy() { tar --create --directory / --no-recursion --ignore-failed-read --files-from - | tar --extract --directory "$root/$1"; }

skeleton() {
  mkdir -p "$root/$1/tmp" "$root/$1/etc"
  chmod 1777 "$root/$1/tmp"
  # As on the machine: where /lib, /bin and /sbin are links into /usr, files belong there.
  for dir in bin sbin lib lib64; do
    if [ -L "/$dir" ]; then mkdir -p "$root/$1/usr/$dir" && ln -s "usr/$dir" "$root/$1/$dir"; else mkdir -p "$root/$1/$dir"; fi
  done
  printf 'root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' > "$root/$1/etc/passwd"
  printf 'root:x:0:\nnode:x:1000:\nnogroup:x:65534:\n' > "$root/$1/etc/group"
}

packages='bash dash coreutils findutils grep sed tar gzip make g++ python3-minimal libpython3-stdlib ca-certificates'
closure() {
  # shellcheck disable=SC2086 # a list of words
  apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances $packages | grep '^[a-z]' | sort -u
}

skeleton node
dpkg --listfiles $(closure) | grep -v -e '^/usr/share/\(doc\|man\|info\|locale\)/' -e '^package diverts' | sort -u \
  | while read -r file; do [ -d "$file" ] || printf '%s\n' "$file"; done | sed 's|^/||' | copy node
for link in awk c++ cc; do
  [ -e "/usr/bin/$link" ] && cp -L "/usr/bin/$link" "$root/node/usr/bin/$link"
done
cp -rL /etc/ssl/certs "$root/node/etc/" 2> /dev/null || true
node_home=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
mkdir -p "$root/node/usr/local/bin" "$root/node/usr/local/lib/node_modules" "$root/node/usr/local/include" "$root/node/root" "$root/node/home/node"
cp -L "$node_home/bin/node" "$root/node/usr/local/bin/"
cp -r "$node_home/include/node" "$root/node/usr/local/include/"
cp -r "$(readlink -f "$(npm root --global)")/npm" "$root/node/usr/local/lib/node_modules/"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/node/usr/local/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/node/usr/local/bin/npx"
cp -r "$(npm config get cache 2> /dev/null)" "$root/node/root/.npm"
tar --create --numeric-owner --directory "$root/node" . \
  | "$DOCKER" import --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin' --change 'CMD ["node"]' - "$NODE_IMAGE" > /dev/null

skeleton nats
server=$(readlink -f "$(command -v nats-server || echo /usr/sbin/nats-server)")
{ echo "$server"; ldd "$server" | grep -o '/[^ ]*'; } | while read -r file; do
  mkdir -p "$root/nats$(dirname "$file")"
  cp -L "$file" "$root/nats$file"
done
cp -L "$server" "$root/nats/nats-server"
tar --create --numeric-owner --directory "$root/nats" . \
  | "$DOCKER" import --change 'ENTRYPOINT ["/nats-server"]' --change 'EXPOSE 4222' - "$NATS_IMAGE" > /dev/null

echo "NODE_IMAGE=$NODE_IMAGE NATS_IMAGE=$NATS_IMAGE"
