v=value; unset u; e=
echo ${v:-d} ${u:-d} ${e:-d} ${e-d}.
echo ${v:+alt} ${u:+alt}.
echo ${u:=assigned} $u
echo ${#v}
p=/usr/local/lib/x.tar.gz
echo ${p#*/} ${p##*/} ${p%.*} ${p%%.*}
echo ${p%/*}/y
echo "${v}s" "$v"
echo ${v:1:3} ${v:2}
echo ${v/a/A} ${p//\//-}
(echo ${u2:?is missing}) ; echo $?
