x='a:b:c'; IFS=:; echo $x; set -- $x; echo $#; y='::'; set -- $y; echo $#; unset IFS; z='  a  b  '; set -- $z; echo $#
IFS=' :'; w='a : b'; set -- $w; echo $#; echo "$*"; IFS=; set -- a b; echo "$*" $*
