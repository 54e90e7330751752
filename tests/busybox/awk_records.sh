printf 'a b\nc\n\nd\ne f\n' | awk 'BEGIN{RS=""}{print NR": "$1"-"$NF, NF}'
printf 'a;b;c' | awk 'BEGIN{RS=";"}{print}'
printf 'a1b22c' | awk -v RS='[0-9]+' '{print}'
printf 'a b c\n' | awk '{NF=2; print; $5="e"; print; print NF}'
printf 'x y\n' | awk '{$3="z"; print NF; $0="new line here"; print NF, $2}'
awk -F '\t' '{print $2}' <<E
a	b c
E
echo 'aXXbXXc' | awk -FXX '{print $2}'; echo 'a|b' | awk -F'|' '{print $2}'; echo 'a.b' | awk -F. '{print $2}'
echo ' lead  trail ' | awk '{print NF; $1=$1; print "[" $0 "]"}'
echo abc | awk -F '' '{print $2}'
