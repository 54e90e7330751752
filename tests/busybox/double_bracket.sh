[[ a = a ]] && echo eq
[[ abc == a* ]] && echo glob
[[ -n x && -z "" ]] && echo and
[[ -d / || 1 -eq 2 ]] && echo or
[[ ! -e none ]]; echo $?
if [[ 3 -gt 2 ]]; then echo gt; fi
