for i in $(seq 1 3); do echo "line $i"; done | tail -n 1
i=0; while :; do i=$((i+1)); echo $i; if [ $i = 2 ]; then break; fi; done
echo "$(date +%Y)" | grep -cE '^20[0-9]{2}$'
cat <<EOT > conf; grep key conf | cut -d= -f2
key=value
EOT
test -f conf && echo "exists" || echo "missing"
echo $RANDOM | grep -cE '^[0-9]+$'
