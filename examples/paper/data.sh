#!/usr/bin/env bash
# Makes paper-data/, which examples/paper/xlm-r.yaml and labse.yaml train on, from a folder RAW:
#
#   RAW/wikiqa.jsonl duorc.jsonl newsqa.jsonl nq.jsonl yahooqa.jsonl entityquestions.jsonl
#                             SQuAD's or MRQA's format, or a line a question with question and context
#   RAW/mfaq/data/en/train.jsonl           clips/mfaq
#   RAW/squadshifts/*.json                 SQuADShifts, SQuAD's format: evaluation alone
#   RAW/mmarco, RAW/mrtydi                 in their repositories' layouts; the hub where missing
#
# MODEL names the translator, SETS some of the English sets. What is there already is kept, and a
# translation that was broken off goes on.
set -euo pipefail

wants_help() { [[ " $* " == *" --help "* || " $* " == *" -h "* ]]; }
if [[ $# != 1 ]] || wants_help "$@"; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
  echo "usage: [MODEL=...] [SETS='nq wikiqa'] $0 RAW"
  wants_help "$@" && exit 0 || exit 2
fi
raw=$1
model=${MODEL:-facebook/nllb-200-distilled-600M}
sets=${SETS:-wikiqa duorc newsqa nq yahooqa entityquestions mrtydi mfaq}
prepare="$(dirname "$0")/prepare.py"

made() { [[ -e $1/pairs.tsv || -e $1/pairs.parquet ]]; }

for set in $sets; do
  if ! made "paper-english/$set"; then
    case $set in
      mfaq) python "$prepare" mfaq --source "$raw/mfaq" --output paper-english/mfaq ;;
      mrtydi)
        if [[ -d $raw/mrtydi ]]; then
          python "$prepare" mrtydi --source "$raw/mrtydi" --output paper-english/mrtydi
        else
          python "$prepare" mrtydi --output paper-english/mrtydi
        fi ;;
      *) python "$prepare" squad --file "$raw/$set.jsonl" --output "paper-english/$set" ;;
    esac
  fi
  mkdir -p "paper-data/$set"
  for table in queries passages; do
    # Sentence by sentence, as NLLB drops parts of longer texts.
    st-hybrid data translate "paper-english/$set/$table.tsv" --from en --to ar --to zh --to de \
      --to hi --to ru --to es --to th --to tr --model "$model" --sentences \
      --output "paper-data/$set/$table.tsv"
  done
  cp "paper-english/$set/pairs.tsv" "paper-data/$set/pairs.tsv"
done

if ! made paper-data/squadshifts; then
  files=()
  for file in "$raw"/squadshifts/*.json; do files+=(--file "$file"); done
  python "$prepare" squad "${files[@]}" --output paper-data/squadshifts
fi

if ! made paper-data/mmarco; then
  if [[ -d $raw/mmarco ]]; then
    python "$prepare" mmarco --source "$raw/mmarco" --output paper-data/mmarco
  else
    python "$prepare" mmarco --output paper-data/mmarco
  fi
fi
