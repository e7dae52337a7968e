#!/bin/bash
# Builds fieldline_VERSION_ARCH.deb and fieldline-onnx_VERSION_ARCH.deb. The machine need not be of
# that architecture: nothing is compiled. The checkout is not touched.
#
#   deploy/deb/build.sh [--arch amd64|arm64] [--out DIRECTORY]
#
# Needs Node.js with npm, dpkg-deb and the checkout after `npm ci`. Downloads through npm: Node.js for
# the target, and the dependencies that the lock file names.
# The same commit gives the same bytes (SOURCE_DATE_EPOCH; default: the commit's time).
set -euo pipefail
export LC_ALL=C TZ=UTC
umask 022

# The newest line with long-term support: whoever installs once and never comes back has the longest.
NODE_VERSION=24.21.0

root=$(cd "$(dirname "$0")/../.." && pwd)
arch=$(dpkg --print-architecture)
out=$root/build
while [ $# -gt 0 ]; do
  case $1 in
    --arch) arch=${2:?--arch needs amd64 or arm64}; shift 2 ;;
    --out) out=${2:?--out needs a directory}; shift 2 ;;
    *) echo "build.sh: unknown argument '$1'; there are --arch and --out" >&2; exit 2 ;;
  esac
done
case $arch in
  amd64) node_arch=x64 ;;
  arm64) node_arch=arm64 ;;
  *) echo "build.sh: no package for '$arch'; there are amd64 and arm64" >&2; exit 2 ;;
esac

mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || stat -c %Y "$root/package.json")}
export SOURCE_DATE_EPOCH=$epoch
version=$(node -p 'require(process.argv[1]).version' "$root/package.json")
debian_version=${version//-/\~}

echo "Building Fieldline $version for $arch." >&2

# 1. What `npm pack` would publish, from a fresh build in a copy.
mkdir "$work/source"
tar -C "$root" --exclude=./node_modules --exclude=./dist --exclude=./build --exclude=./.git -cf - . | tar -C "$work/source" -xf -
ln -s "$root/node_modules" "$work/source/node_modules"
(cd "$work/source" && node node_modules/typescript/bin/tsc -p tsconfig.json)
(cd "$work/source" && npm pack --silent --ignore-scripts --pack-destination "$work" >/dev/null)
mkdir "$work/unpacked"
tar -C "$work/unpacked" -xf "$work/fieldline-$version.tgz"

# 2. Production dependencies as locked.
app=$work/fieldline/usr/lib/fieldline
mkdir -p "$app"
cp -R "$work/unpacked/package/." "$app"
cp "$root/package-lock.json" "$root/.npmrc" "$app"
(cd "$app" && npm ci --silent --omit dev --ignore-scripts --prefer-offline --no-audit --no-fund)

# 3. ONNX in a package of its own: a box without models is spared 25 to 46 MB.
onnx=$work/fieldline-onnx/usr/lib/fieldline/node_modules
mkdir -p "$onnx"
mv "$app/node_modules/onnxruntime-node" "$app/node_modules/onnxruntime-common" "$onnx"
binaries=$onnx/onnxruntime-node/bin/napi-v6
find "$binaries" -mindepth 1 -maxdepth 1 ! -name linux -exec rm -rf {} +
find "$binaries/linux" -mindepth 1 -maxdepth 1 ! -name "$node_arch" -exec rm -rf {} +
rm -rf "$onnx/onnxruntime-node/script" "$onnx/onnxruntime-common/dist/esm"
# What only its download script needs goes too.
(cd "$app" && npm prune --silent --omit dev --omit optional --ignore-scripts --no-audit --no-fund)
# Only what runs.
rm -f "$app/package-lock.json" "$app/.npmrc"
rm -rf "$app/node_modules/.bin" "$app/node_modules/.package-lock.json"
# Common to all Debian systems.
rm -f "$app/LICENSE"
rm -rf "$app/deploy/deb" "$app/deploy/systemd" "$app/deploy/container"
# What people read, in the tree of the checkout, so that its links lead somewhere. deploy/kafka is run.
doc=$work/fieldline/usr/share/doc/fieldline
(cd "$app" && find . \( -path ./dist -o -path ./node_modules -o -path ./deploy/kafka \) -prune \
  -o -type f ! -path ./package.json -print0) | while IFS= read -r -d '' file; do
  install -D -m 644 "$app/$file" "$doc/$file"
  rm "$app/$file"
done
find "$app" -depth -type d -empty -delete
find "$app/node_modules" "$onnx" -type f \( -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' \
  -o -name '*.ts' -o -name '*.md' -o -name '.*' -o -name '*.yml' -o -name '*.flow' -o -name '*.html' -o -name '*.sh' \) ! -iname 'license*' -delete
find "$app/node_modules" -depth -type d \( -name test -o -name tests -o -name __tests__ -o -name .github \
  -o -name .husky -o -name docs -o -name examples -o -name example -o -name benchmarks -o -name benchmark \) -exec rm -rf {} +

# For browsers, or tests.
rm -f "$app"/node_modules/mqtt/dist/mqtt{,.min,.esm}.js "$app/node_modules/mqtt-packet/test.js"

# 4. Node.js for the target: its one binary.
mkdir "$work/node"
(cd "$work/node" && npm install --silent --no-save --force --ignore-scripts --prefer-offline --no-audit --no-fund \
  --prefix "$work/node" "node-linux-$node_arch@$NODE_VERSION")
install -D -m 755 "$work/node/node_modules/node-linux-$node_arch/bin/node" "$app/bin/node"

# 5. What belongs to the system.
install -D -m 755 "$root/deploy/deb/fieldline" "$work/fieldline/usr/bin/fieldline"
install -D -m 644 -t "$work/fieldline/usr/lib/systemd/system" "$root"/deploy/systemd/*.service
install -D -m 644 -t "$work/fieldline/etc/fieldline" "$root/deploy/deb/fieldline.yaml"
completion() {
  mkdir -p "$(dirname "$work/fieldline/$2")"
  node "$app/dist/cli/main.js" completion "$1" > "$work/fieldline/$2"
}
completion bash usr/share/bash-completion/completions/fieldline
completion zsh usr/share/zsh/vendor-completions/_fieldline
completion fish usr/share/fish/vendor_completions.d/fieldline.fish
for package in fieldline fieldline-onnx; do
  doc=$work/$package/usr/share/doc/$package
  mkdir -p "$doc" "$work/$package/DEBIAN"
  cp "$root/deploy/deb/copyright" "$doc"
  printf 'fieldline (%s) stable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' "$debian_version" \
    "$(sed -n 's/^Maintainer: //p' "$root/deploy/deb/control.fieldline")" "$(date -R -d "@$epoch")" \
    | gzip -9n > "$doc/changelog.gz"
  install -D -m 644 "$root/deploy/deb/lintian-overrides.$package" "$work/$package/usr/share/lintian/overrides/$package"
  find "$work/$package" -path "$work/$package/DEBIAN" -prune -o -type d -exec chmod 755 {} +
  find "$work/$package/usr" -type f ! -path '*/bin/*' -exec chmod 644 {} +
  size=$(du -sk --apparent-size --exclude=DEBIAN "$work/$package" | cut -f1)
  sed -e "s/@VERSION@/$debian_version/; s/@ARCH@/$arch/; s/@SIZE@/$size/" \
    "$root/deploy/deb/control.$package" > "$work/$package/DEBIAN/control"
done
cp "$work/node/node_modules/node-linux-$node_arch/LICENSE" "$work/fieldline/usr/share/doc/fieldline/LICENSE.nodejs"
install -m 755 "$root/deploy/deb/postinst" "$root/deploy/deb/prerm" "$root/deploy/deb/postrm" "$work/fieldline/DEBIAN"
echo /etc/fieldline/fieldline.yaml > "$work/fieldline/DEBIAN/conffiles"

for package in fieldline fieldline-onnx; do
  (cd "$work/$package" && find . -path ./DEBIAN -prune -o -type f ! -path './etc/*' -printf '%P\n' | sort \
    | xargs -d '\n' md5sum > DEBIAN/md5sums)
  find "$work/$package" -exec touch -hd "@$epoch" {} +
  dpkg-deb --root-owner-group -Zxz -z6 --build "$work/$package" "$out" >&2
done
echo "$out/fieldline_${debian_version}_${arch}.deb"
echo "$out/fieldline-onnx_${debian_version}_${arch}.deb"
