echo ${x-ok}
set -u
echo ${y:-fine}
echo $z
echo never
