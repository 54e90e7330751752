echo 'echo sourced $1; y=set' > lib.sh
. ./lib.sh arg; echo $y
. ./missing.sh
echo never
