"""The subject gate: planted texts, and what it finds and leaves alone in public data."""

import csv
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builders.gates._gate import Batch
from dataset_builders.gates.subjects import Subjects, find_subjects, subjects
from dataset_builders.rows import Conversation, assistant
from tests.conftest import SHARED

AROUND = "아래처럼 하시면 됩니다.\n", "\n값을 준비하고 차례로 처리합니다. 궁금한 점이 있으면 더 물어보세요."

# One text a line, with ⏎ for a line break. Each of these stands in the middle of AROUND.
CODE = r"""
```python⏎def add(a, b):⏎    return a + b⏎```
```python⏎numbers = [1, 2, 3]⏎for n in numbers:⏎    print(n * 2)⏎```
```⏎def 인사(이름):⏎    print(f"{이름}님 안녕하세요")⏎```
def is_even(n):⏎    return n % 2 == 0⏎⏎print(is_even(4))
import pandas as pd⏎df = pd.read_csv("data.csv")⏎df = df.dropna()⏎print(df.head())
class Dog:⏎    def __init__(self, name):⏎        self.name = name⏎    def bark(self):⏎        print("멍멍")
try:⏎    value = int(input("숫자: "))⏎except ValueError:⏎    print("숫자가 아닙니다")
squares = [x ** 2 for x in range(10)]⏎total = sum(squares)⏎print(total)
while True:⏎    line = input()⏎    if line == "끝":⏎        break
@app.route("/hello")⏎def hello():⏎    return "안녕하세요"
from flask import Flask⏎app = Flask(__name__)⏎app.run(debug=True)
import numpy as np⏎a = np.zeros((3, 3))⏎a[0, 0] = 1⏎print(a.sum(axis=0))
#include <stdio.h>⏎int main(void) {⏎    printf("안녕\n");⏎    return 0;⏎}
#include <iostream>⏎using namespace std;⏎int main() {⏎    cout << "안녕" << endl;⏎    return 0;⏎}
int sum = 0;⏎for (int i = 0; i < 10; i++) {⏎    sum += i;⏎}
public class Main {⏎    public static void main(String[] args) {⏎        System.out.println("안녕");⏎    }⏎}
```java⏎Scanner sc = new Scanner(System.in);⏎int n = sc.nextInt();⏎```
function add(a, b) {⏎  return a + b;⏎}⏎console.log(add(1, 2));
const names = ["철수", "영희"];⏎names.forEach((name) => {⏎  console.log(name);⏎});
document.getElementById("btn").addEventListener("click", function () {⏎  alert("눌렀습니다");⏎});
```typescript⏎interface User {⏎  id: number;⏎  name: string;⏎}⏎```
SELECT name, age FROM users WHERE age >= 20 ORDER BY age DESC;
SELECT d.name, COUNT(*)⏎FROM employees e⏎JOIN departments d ON e.dept_id = d.id⏎GROUP BY d.name;
INSERT INTO members (name, phone) VALUES ('홍길동', '010-0000-0000');
CREATE TABLE books (⏎  id INT PRIMARY KEY,⏎  title VARCHAR(100)⏎);
```sql⏎update users set age = age + 1 where name = '철수';⏎```
<!DOCTYPE html>⏎<html>⏎<body>⏎<h1>제목</h1>⏎<p>본문입니다.</p>⏎</body>⏎</html>
<ul class="menu">⏎  <li><a href="/home">홈</a></li>⏎</ul>
.button {⏎  color: white;⏎  background-color: #333;⏎  padding: 8px 16px;⏎}
```bash⏎for f in *.txt; do⏎  mv "$f" "${f%.txt}.md"⏎done⏎```
$ git add .⏎$ git commit -m "수정"⏎$ git push origin main
pip install requests⏎python3 main.py⏎sudo apt-get install nginx
package main⏎⏎import "fmt"⏎⏎func main() {⏎    fmt.Println("안녕")⏎}
```rust⏎fn main() {⏎    let v: Vec<i32> = (1..=5).collect();⏎    println!("{:?}", v);⏎}⏎```
fun main() {⏎    val items = listOf("사과", "배")⏎    for (item in items) {⏎        println(item)⏎    }⏎}
func greet(name: String) -> String {⏎    return "안녕, \(name)"⏎}⏎print(greet(name: "민수"))
<?php⏎$name = $_POST["name"];⏎echo "안녕하세요, " . $name;⏎?>
puts "이름을 입력하세요"⏎name = gets.chomp⏎5.times do |i|⏎  puts "#{i}: #{name}"⏎end
```dockerfile⏎FROM python:3.11-slim⏎WORKDIR /app⏎COPY . .⏎CMD ["python", "main.py"]⏎```
library(ggplot2)⏎df <- read.csv("data.csv")⏎ggplot(df, aes(x = age, y = score)) + geom_point()
"""

# These mention code, or look a little like it.
NOT_CODE = r"""
파이썬에서 리스트를 뒤집으려면 `list.reverse()`를 쓰거나 `[::-1]`로 슬라이스하시면 됩니다.
파이썬은 귀도 반 로섬이 만든 언어로, 읽기 쉬운 문법 덕분에 처음 배우는 분께 좋습니다.
for 문은 횟수가 정해진 반복에, while 문은 조건이 참인 동안의 반복에 씁니다. 둘 다 break로 멈출 수 있습니다.
SQL은 데이터베이스를 다루는 언어입니다. SELECT 문으로 조회하고, INSERT 문으로 넣고, DELETE 문으로 지웁니다.
HTML은 웹 문서의 뼈대를, CSS는 모양을, 자바스크립트는 움직임을 맡습니다. <div>와 <span>은 자주 쓰는 태그입니다.
터미널을 열고 npm install을 입력하세요.⏎설치가 끝나면 창을 닫았다가 다시 여세요.
<해리 포터와 마법사의 돌>⏎감독: 크리스 콜럼버스⏎출연: 대니얼 래드클리프, 루퍼트 그린트, 에마 왓슨
<Who Wants to Be a Millionaire?>는 영국의 퀴즈 프로그램이다. 1998년 9월 4일에 처음 방송되었다.
Dear Sir,⏎I would like to return the shoes that I bought (size 250).⏎Thank you for your help;⏎Minsu
for example:⏎- apples and oranges;⏎- bread and butter;⏎- milk (one bottle);
If you want to go, please tell me by Friday:⏎call 010-1234-5678 or write to minsu@example.com.
from Seoul to Busan⏎by KTX: 2 hours 40 minutes⏎by bus: 4 hours 20 minutes
1. 서울(Seoul)⏎2. 부산(Busan)⏎3. 대구(Daegu)⏎4. 인천(Incheon)
재료: 두부 1모, 대파 1대;⏎양념: 간장 2큰술, 고춧가루 1큰술;⏎순서: 두부를 부치고 양념을 얹어 조립니다.
```⏎안녕하세요, 고객님.⏎주문하신 상품이 오늘 출고되었습니다.⏎감사합니다.⏎```⏎위 문구를 문자로 보내시면 됩니다.
# 여행 준비물⏎- 여권⏎- 충전기⏎- 상비약⏎# 일정⏎- 첫째 날: 경복궁⏎- 둘째 날: 남산
| 요일 | 메뉴 |⏎| --- | --- |⏎| 월 | 비빔밥 |⏎| 화 | 칼국수 |
철수: "내일 뭐 해?"⏎영희: "도서관 가려고."⏎철수: "같이 가자!"
{이름}님, 생일을 진심으로 축하드립니다! {날짜}에 뵙겠습니다. 중괄호 안에는 알맞은 말을 넣어 주세요.
#여행 #제주도⏎푸른 바다를 보며 커피 한 잔. @jeju_cafe 에서 찍었어요 :)
(^_^)/ 안녕하세요!⏎(>_<) 오늘은 춥네요;;⏎{{{(>_<)}}} 감기 조심하세요!!
변수는 값을 담는 상자입니다. x = 5라고 쓰면 x라는 상자에 5가 들어갑니다. 다음에 다른 값을 넣으면 앞의 값은 사라집니다.
엑셀에서 합계는 =SUM(A1:A10)으로, 평균은 =AVERAGE(A1:A10)으로 구합니다. 셀을 고르고 수식을 넣은 다음 엔터를 누르세요.
주소는 https://www.example.com/search?q=날씨&lang=ko 입니다. 브라우저에 붙여 넣고 엔터를 누르시면 됩니다.
[제목] 회의록⏎[일시] 2024년 3월 4일(월) 10:00~11:30⏎[장소] 3층 회의실⏎[참석] 김 부장, 이 과장
API는 프로그램끼리 대화하는 약속입니다. 식당의 종업원처럼 주문을 주방에 전하고 음식을 가져다줍니다.
git commit은 바뀐 내용을 기록하고, git push는 그 기록을 서버에 올립니다. 팀에서는 하루에 한 번은 올리도록 정하세요.
제1조(목적) 이 법은 근로조건의 기준을 정함을 목적으로 한다.⏎제2조(정의) 이 법에서 사용하는 용어의 뜻은 다음과 같다.
public이라는 영어 단어는 '공공의'라는 뜻이며 private는 '사적인'이라는 뜻입니다. public school은 공립 학교입니다.
자바와 자바스크립트는 이름만 비슷하고 다른 언어입니다.
package tour: 3박 4일⏎price: 890,000원⏎include: 항공권, 호텔, 조식
정규 표현식에서 \d+는 숫자, \w+는 글자를 뜻합니다. 이메일을 찾을 때는 골뱅이 앞뒤로 글자가 오는 꼴을 씁니다.
해시태그 #파이썬 #코딩테스트 로 검색하면 후기가 많이 나옵니다. 책은 두 권이면 충분합니다.
what to do⏎where to go⏎how to return⏎the long way home
오류 메시지 `TypeError: 'int' object is not callable`은 변수 이름이 함수 이름과 같을 때 나옵니다. 이름을 바꾸세요.
함수는 입력을 받아 결과를 돌려주는 묶음입니다. def로 시작하고 return으로 값을 돌려줍니다.
안드로이드 설정 > 일반 > 초기화로 들어가세요. {비밀번호}를 넣으면 됩니다;
package.json은 프로젝트의 이름과 필요한 꾸러미를 적는 파일입니다. 손으로 고친 뒤에는 다시 설치하세요.
깃허브 주소는 https://github.com/example/repo.git이고, 브랜치는 main입니다. README.md부터 읽어 보세요.
while은 '~하는 동안', else는 '그 밖에', break는 '쉬는 시간'이라는 뜻도 있습니다.
"""

MATH = r"""
24와 18의 합과 차를 구하세요.⏎합은 24 + 18 = 42이고, 차는 24 - 18 = 6입니다.
사과 3개와 배 5개가 있습니다. 모두 몇 개입니까? 2개를 먹으면요?⏎3 + 5 = 8(개)이고, 8 - 2 = 6(개)입니다.
어른 3명은 7,000 × 3 = 21,000(원)이고, 29,000 - 21,000 = 8,000(원)이 남습니다.
이차방정식 x^2 - 5x + 6 = 0을 풀어라.⏎(x - 2)(x - 3) = 0이므로 x = 2 또는 x = 3이다.
2x + 3 = 11을 푸세요.⏎양변에서 3을 빼면 2x = 8이고, 양변을 2로 나누면 x = 4입니다.
$\frac{1}{2} + \frac{1}{3}$을 계산하세요.⏎통분하면 $\frac{3}{6} + \frac{2}{6} = \frac{5}{6}$입니다.
\[ \int_0^1 x^2 \, dx = \left[ \frac{x^3}{3} \right]_0^1 = \frac{1}{3} \]⏎따라서 정적분의 값은 3분의 1입니다.
반지름이 5cm인 원의 넓이는?⏎원의 넓이는 πr²이므로 3.14 × 5 × 5 = 78.5(cm²)이고, 둘레는 2 × 3.14 × 5 = 31.4(cm)입니다.
3에 4를 더하면 7이고, 7에서 2를 빼면 5입니다. 따라서 답은 5입니다.
주사위 두 개를 던져 합이 7이 될 확률은?⏎경우의 수는 6 × 6 = 36이고 합이 7인 경우는 6가지이므로 6/36 = 1/6이다.
등차수열 3, 7, 11, ...의 10번째 항은 a + (n-1)d = 3 + 9 × 4 = 39이다. 합은 10 × (3 + 39) / 2 = 210이다.
log_2 8 = 3이고, 2^3 = 8입니다. 2^10 = 1024이므로 log_2 1024 = 10입니다.
Tom has 3 boxes of 12 pens. He gives away 8. How many are left?⏎3 * 12 = 36⏎36 - 8 = 28⏎Tom has 28 pens left.
The perimeter is 2(5 + 3) = 16 cm and the area is 5 × 3 = 15 square cm.
She has 144 inches because 12 times 12 equals 144. Each uses 9, so 144 divided by 9 equals 16.
Let x be the number of cows. Then 3x + 5 = 26, so 3x = 21 and x = 7.
Solve \(x^2 = 16\). Taking square roots, \(x = \pm 4\), and \(\boxed{4}\) is the positive one.
$$\sum_{k=1}^{n} k = \frac{n(n+1)}{2}$$⏎n = 100일 때 값은 5050입니다.
\sin^2\theta + \cos^2\theta = 1을 이용하면 \sin\theta = \frac{3}{5}입니다.
lim_{n→∞} (1 + 1/n)^n = e이다. n = 10이면 약 2.594이고 n^2 = 100이다.
"""

# Numbers, without mathematics.
NOT_MATH = r"""
아메리카노 4,500원, 카페라테 5,000원, 바닐라라테 5,500원입니다. 두 잔부터 10% 할인해 드립니다.
회의는 2024-03-04(월) 10:00~11:30이고, 다음 회의는 2024-03-11(월) 14:00~15:00입니다.
대표 전화 02-123-4567, 팩스 02-123-4568, 휴대 전화 010-1234-5678로 연락해 주세요.
1. 쌀을 씻는다.⏎2. 30분 불린다.⏎3. 물 200ml를 붓는다.⏎4. 센 불에서 10분, 약한 불에서 15분 끓인다.
재료(2인분): 물 200ml, 설탕 30g, 밀가루 2컵, 달걀 3개⏎1/2컵 = 100ml, 3/4컵 = 150ml, 1큰술 = 15ml, 1작은술 = 5ml
1교시 09:00-09:45⏎2교시 09:55-10:40⏎3교시 10:50-11:35⏎4교시 11:45-12:30
제12조 제3항 및 제15조 제1항 제2호에 따라 3년 이하의 징역 또는 3천만 원 이하의 벌금에 처한다.
1+1=귀요미, 2+2=귀요미! 귀여운 노래로 많은 사랑을 받았습니다.
스쿼트 15회 x 3세트, 팔굽혀펴기 10회 x 3세트, 플랭크 30초 x 3세트를 하세요.
선발 라인업은 4-3-3입니다. 후반에는 4-4-2로 바꾸었고, 승부차기에서 5-4로 이겼습니다.
A = 90점 이상, B = 80점 이상, C = 70점 이상, D = 60점 이상
https://example.com/list?page=2&size=10&sort=3에서 2/3쪽을 보세요. 전체는 24/7 열려 있습니다.
환율은 1달러 = 1,350원, 100엔 = 900원, 1유로 = 1,470원입니다.
1kg = 1,000g이고 1m = 100cm이며 1시간 = 60분입니다. 단위를 외워 두면 편합니다.
혈압이 120/80이면 정상이고, 140/90 이상이면 고혈압입니다. 체온은 36.5도가 보통입니다.
방정식은 미지수가 들어 있는 등식이고, 함수는 두 집합 사이의 대응입니다. 수학을 좋아하면 물리도 재미있을 거예요.
^^ 안녕하세요~ 3^^ 오늘은 (^0^) 기분이 좋아요 =_= 졸리네요 ^3^
**1. 가격** - 3개 5,000원⏎**2. 배송** - 2일 = 무료⏎**3. 교환** - 7일 안 = 무료
밀가루 2컵에 물 1컵을 더하고 10분 치댄다. 반죽을 8등분으로 나누고 2mm 두께로 민다.
최저 시급으로 하루 8시간, 한 달 22일을 일하면 9,860 × 8 × 22 = 1,735,360원입니다.
승점 = 승 x 3 + 무 x 1이므로, 5승 2무면 17점입니다. 득실 차 = 득점 - 실점입니다.
Ctrl + C = 복사, Ctrl + V = 붙여넣기, F5 = 새로 고침, Alt + F4 = 닫기입니다.
수소와 산소가 만나 물이 되는 반응식은 2H2 + O2 → 2H2O입니다. 탄소가 타면 C + O2 → CO2가 됩니다.
하루 8시간 × 5일 근무를 주 40시간제라고 합니다. 넘으면 1.5배의 수당을 줍니다.
"""


def planted(block: str) -> list[str]:
    """The texts of a block."""
    return [line.replace("⏎", "\n") for line in block.strip().splitlines()]


def found(name: str, texts: list[str]) -> list[str]:
    """The subjects that the gate finds in the texts, and prints."""
    hits = [evidence.split(":")[0] for evidence in subjects(pa.array(texts, pa.string())).values()]
    print(f"{name}: of {len(texts)} texts {hits.count('math')} are math and {hits.count('code')} are code")
    return hits


@pytest.fixture
def data() -> Path:
    """The folder of public data."""
    if not (SHARED / "data").exists():
        pytest.skip(f"{SHARED / 'data'} is absent; point RABBIT_KO_SHARED at a folder with data/chatbot and data/hub")
    return SHARED / "data"


def sums(data: Path, *, bare: bool) -> list[str]:
    """The rows of gsm8k, question and answer; bare ones without the annotations that only gsm8k has."""
    rows = pq.read_table(data / "hub/openai/gsm8k/main").to_pylist()
    texts = [f"{row['question']}\n{row['answer']}" for row in rows]
    return [re.sub(r"<<[^>]*>>|\n#### .*", "", text) for text in texts] if bare else texts


def test_planted_code_and_mathematics_are_found() -> None:
    for name, texts in (("code", [code.join(AROUND) for code in planted(CODE)]), ("math", planted(MATH))):
        assert found(f"planted {name}", texts).count(name) >= 0.9 * len(texts)


def test_texts_that_mention_code_or_hold_numbers_are_left_alone() -> None:
    assert len(found("mention of code", planted(NOT_CODE))) <= 1
    assert len(found("numbers", planted(NOT_MATH))) <= 1


def test_only_the_subjects_that_are_dropped_are_found() -> None:
    texts = ["사과", "2 + 3 = 5\n4 * 5 = 20", "import os\nprint(os.getcwd())", ""]
    batch = Batch([Conversation(f"x/{number}", "x", [assistant(text)]) for number, text in enumerate(texts)])
    both = {1: "math: 2 calculations in 20 characters", 2: "code: 27 of 28 characters"}
    assert find_subjects(batch, Subjects(drop=("math", "code"))) == both
    assert find_subjects(batch, Subjects(drop=("math",))) == {1: both[1]}
    assert find_subjects(batch, Subjects(drop=("code",))) == {2: both[2]}
    assert find_subjects(batch, Subjects()) == subjects(pa.array([], pa.string())) == {}
    assert subjects(pa.array([None], pa.string())) == {}


def test_mathematics_is_told_from_chat(data: Path) -> None:
    with (data / "chatbot/ChatbotData.csv").open(encoding="utf-8", newline="") as lines:
        chats = [f"{row['Q']}\n{row['A']}" for row in csv.DictReader(lines)]
    false_hits = len(found("ChatbotData", chats))
    for name, bare in (("gsm8k", False), ("gsm8k without annotations", True)):
        texts = sums(data, bare=bare)
        hits = found(name, texts).count("math")
        print(f"math: recall {hits / len(texts):.3f}, precision {hits / (hits + false_hits):.4f}")
        assert hits >= 0.95 * len(texts)
        assert hits >= 0.999 * (hits + false_hits)


def test_other_public_texts_are_left_alone(data: Path) -> None:
    for file in sorted(data.glob("hub/skt/kobest_v1/*/train.parquet")):
        rows = pq.read_table(file).to_pylist()
        texts = ["\n".join(value for value in row.values() if isinstance(value, str)) for row in rows]
        assert len(found(f"KoBEST {file.parent.name}", texts)) <= 0.001 * len(texts)
    prompts = (data / "hub/google/IFEval/ifeval_input_data.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(found("IFEval", [json.loads(line)["prompt"] for line in prompts])) <= 5
