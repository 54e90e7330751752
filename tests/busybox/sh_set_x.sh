set -x
a=1
echo "$a b"
for i in 1; do :; done
set +x
echo quiet
