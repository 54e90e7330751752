printf 'alice 30\nbob 25\n' > f
awk '{print $1}' f; awk '{print $2, $1}' f; awk 'END{print NR}' f; awk '$2>26' f; awk '/bob/' f
awk '{s+=$2} END{print s, s/NR}' f; awk -F: '{print $1}' /dev/null; echo a:b | awk -F: '{print $2}'
awk 'BEGIN{print "start"} {print NR": "$0} END{print "end"}' f
awk '{$2="x"; print}' f; awk '{print NF, $NF}' f; awk -v x=5 'BEGIN{print x+1}'
awk 'NR==2' f; awk 'NR%2' f; awk '{print length($1)}' f; awk '!/bob/{print "not"}' f
echo 'a,b;c' | awk -F'[,;]' '{print $3}'; awk 'BEGIN{OFS="-"; $0="a b c"; $1=$1; print}'
