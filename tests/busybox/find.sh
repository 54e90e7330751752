# component only
mkdir -p d/e; echo x > d/a.txt; : > d/e/b.log; ln -s a.txt d/l
find d; find d -name '*.txt'; find d -type d; find d -type f -size 0; find d -maxdepth 1 | wc -l
find d -name e -prune -o -print; find d ! -name '*.txt' -type f
find d -type f -exec echo got {} \; ; find d -type f -exec echo all {} +
find d -name '*.log' -delete; find d -type f; find d -empty
find nothing; echo $?
find d -type l -o -name a.txt; find d -print0 | tr '\0' '\n' | wc -l
find d -newer d/a.txt -type f; find . -path '*/e'; find d -iname 'A.TXT'
