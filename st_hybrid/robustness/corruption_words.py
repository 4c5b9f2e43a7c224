"""A small lexicon of the words that questions are made of, for queries that switch the language.

A lexicon learnt from the parallel questions of a test would depend on the test's other texts, and
would know just as little beyond frequent words. This one is written by hand: question words, and
common nouns, verbs and adjectives of questions. A word counts as known in any of its listed forms;
the first is the one that is put in. Words with a second frequent meaning are left out where they
would be taken for it (Arabic "من" is "who" and "from"). Where a language has no good equivalent the
cell is "-".
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import regex

__all__ = ["LEXICON_LANGUAGES", "embedded_language", "find_words"]

LEXICON_LANGUAGES: Final = ("en", "ar", "de", "el", "es", "hi", "ru", "th", "tr", "vi", "zh")
"""The languages of the lexicon, in the order of its columns."""

# One concept a line, one language a column, "|" between forms, "_" for a space within one.
_TABLE: Final = """
what ما|ماذا was τι qué क्या что อะไร ne cái_gì|gì 什么
who - wer ποιος|ποιοι quién|quiénes कौन|किसने кто ใคร kim|kimler ai 谁
when متى wann πότε cuándo कब когда เมื่อไหร่|เมื่อไร|เมื่อใด ne_zaman khi_nào 什么时候|何时
where أين wo πού dónde कहाँ|कहां где ที่ไหน nerede đâu 哪里
why لماذا warum|weshalb γιατί por_qué क्यों почему ทำไม|เพราะเหตุใด neden|niçin tại_sao 为什么
how كيف wie πώς|πως cómo कैसे как อย่างไร|ยังไง nasıl như_thế_nào 如何|怎么|怎样
how_many كم_عدد|كم wie_viele πόσα|πόσοι|πόσες cuántos|cuántas कितने|कितनी сколько กี่ kaç bao_nhiêu 多少
how_much - wie_viel πόσο cuánto|cuánta कितना - เท่าไหร่|เท่าใด ne_kadar - -
which أي|أية welche|welcher|welches|welchen|welchem ποια|ποιο|ποιες cuál|cuáles किस какой|какая|какое|какие|каким|какую ไหน|ใด hangi nào 哪个|哪一|哪种|哪些
year عام|سنة Jahr|Jahre|Jahren έτος|χρόνο|χρόνια año|años वर्ष|साल году|год|года|лет ปี yıl|yılda|yılında năm 年份
name اسم Name|Namen όνομα nombre नाम имя|название ชื่อ adı|ismi|isim|ad tên 名字|名称
number عدد|رقم Zahl|Anzahl αριθμός|αριθμό número संख्या число|количество จำนวน sayısı|sayı - 数量
city مدينة Stadt πόλη ciudad शहर город|городе|города เมือง şehir|şehri thành_phố 城市
country بلد|دولة Land χώρα país देश страна|стране|страны ประเทศ ülke|ülkesi đất_nước|quốc_gia 国家
world العالم Welt κόσμο|κόσμος mundo दुनिया|विश्व мир|мире|мира โลก dünya thế_giới 世界
people الناس|أشخاص Menschen|Leute άνθρωποι|άτομα personas|gente लोग|लोगों люди|людей คน|ผู้คน insanlar|insan người 人们
day يوم Tag|Tage ημέρα|μέρα día|días दिन день|дней - gün|günü ngày -
first أول|الأول erste|ersten|erster πρώτο|πρώτη|πρώτος primer|primera|primero पहला|पहली|पहले первый|первая|первым แรก ilk đầu_tiên 第一
last آخر letzte|letzten|letzter τελευταία|τελευταίο último|última - последний|последняя สุดท้าย son cuối_cùng 最后
new جديد|الجديد neue|neuen|neuer|neues νέα|νέο nuevo|nueva नया|नई|नए новый|новая|новые ใหม่ yeni mới 新的
big كبير|كبيرة große|großen|großer μεγάλο|μεγάλη grande|grandes बड़ा|बड़ी|बड़े большой|большая ใหญ่ büyük lớn 大的
team فريق Mannschaft|Team ομάδα equipo टीम команда|команды ทีม takım|takımı đội 球队|团队
game مباراة|لعبة Spiel παιχνίδι partido|juego खेल игра|игре|игры เกม|การแข่งขัน oyun|maç trò_chơi|trận_đấu 比赛
group مجموعة Gruppe ομάδες grupo समूह группа|группы กลุ่ม grup|grubu nhóm 群体|团体
company شركة Unternehmen|Firma εταιρεία|εταιρία empresa|compañía कंपनी компания|компании บริษัท şirket|şirketi công_ty 公司
government حكومة|الحكومة Regierung κυβέρνηση gobierno सरकार правительство|правительства รัฐบาล hükümet|hükümeti chính_phủ 政府
war حرب|الحرب Krieg πόλεμος|πόλεμο guerra युद्ध война|войны|войне สงคราม savaş|savaşı chiến_tranh 战争
church كنيسة|الكنيسة Kirche εκκλησία iglesia चर्च церковь|церкви โบสถ์|คริสตจักร kilise|kilisesi nhà_thờ|giáo_hội 教会|教堂
school مدرسة Schule σχολείο|σχολή escuela स्कूल|विद्यालय школа|школы|школе โรงเรียน okul|okulu trường_học 学校
university جامعة Universität πανεπιστήμιο universidad विश्वविद्यालय университет|университета|университете มหาวิทยาลัย üniversite|üniversitesi đại_học 大学
student طالب Student Studenten|φοιτητής estudiante छात्र студент นักเรียน|นักศึกษา öğrenci sinh_viên|học_sinh 学生
law قانون|القانون Gesetz νόμος|νόμο ley कानून закон|закона กฎหมาย kanun|yasa luật|pháp_luật 法律
water الماء|ماء|المياه Wasser νερό agua पानी|जल вода|воды|воде น้ำ su|suyu nước -
river نهر Fluss ποταμός|ποταμό río नदी река|реки|реке แม่น้ำ nehir|nehri con_sông 河流
king ملك König βασιλιάς rey राजा король กษัตริย์ kral|kralı vua 国王
language لغة|اللغة Sprache γλώσσα lengua|idioma भाषा язык|языке|языка ภาษา dil|dili ngôn_ngữ 语言
part جزء Teil μέρος|τμήμα parte हिस्सा|भाग часть|части ส่วน bölüm|kısmı phần 部分
type نوع Art|Typ είδος|τύπος tipo प्रकार тип|вид ประเภท|ชนิด tür|türü|tip loại 类型|种类
use استخدام Verwendung|Gebrauch χρήση uso उपयोग использование การใช้ kullanım|kullanımı sử_dụng 使用
energy طاقة|الطاقة Energie ενέργεια energía ऊर्जा энергия|энергии พลังงาน enerji năng_lượng 能量|能源
work عمل Arbeit|Werk εργασία|έργο trabajo|obra काम|कार्य работа|работы การทำงาน iş|çalışma công_việc 工作
life حياة|الحياة Leben ζωή vida जीवन жизнь|жизни ชีวิต hayat|yaşam cuộc_sống 生活|生命
and و und και y और и และ ve và -
with مع mit με con के_साथ с|со กับ|ด้วย ile với -
after بعد nach μετά después_de|tras के_बाद после หลังจาก|หลัง sonra sau_khi|sau 之后
before قبل vor πριν antes_de से_पहले перед|до ก่อน önce trước_khi|trước 之前
"""  # noqa: E501

_SPACELESS: Final = ("th", "zh")
_NOT_INSIDE: Final = r"(?<![\u0E40-\u0E44]){}(?!\p{{M}})"  # of a Thai vowel or a grapheme
_WHOLE_WORD: Final = r"(?<![\p{{L}}\p{{M}}\p{{N}}]){}(?![\p{{L}}\p{{M}}\p{{N}}])"


def embedded_language(language: str) -> str:
    """The language that the words of another one are switched to.

    Args:
        language: Short code of the query's language.

    Returns:
        English, which is mixed into most languages of the world; for English Spanish.
    """
    return "es" if language == "en" else "en"


def find_words(text: str, language: str) -> list[tuple[int, int, str]]:
    """Where a text has words of the lexicon, and what they are in the other language.

    Args:
        text: A text.
        language: Short code of its language.

    Returns:
        Begin, end and replacement of each, in order, without overlaps; nothing for languages that
        the lexicon lacks.
    """
    if language not in LEXICON_LANGUAGES:
        return []
    pattern, words = _lexicon(language)
    found = []
    for match in pattern.finditer(text):
        word = words.get(match[0].casefold())
        if word is None:  # case rules that casefold() does not know, such as the Turkish "İ"
            continue
        is_first = regex.search(r"\p{L}", text[: match.start()]) is None
        if is_first and match[0][0].isupper():
            word = word[0].upper() + word[1:]
        found.append((match.start(), match.end(), word))
    return found


@functools.cache
def _lexicon(language: str) -> tuple[regex.Pattern[str], Mapping[str, str]]:
    """A pattern that finds any form, the longest first, and each form's replacement."""
    own = LEXICON_LANGUAGES.index(language)
    other = LEXICON_LANGUAGES.index(embedded_language(language))
    words: dict[str, str] = {}
    for line in _TABLE.strip().splitlines():
        cells = [cell.replace("_", " ").split("|") for cell in line.split()]
        target = cells[other][0]
        for form in cells[own]:
            if "-" not in (form, target) and form.casefold() != target.casefold():
                words.setdefault(form.casefold(), target)
    longest_first = sorted(words, key=lambda form: (-len(form), form))
    forms = "(?:" + "|".join(regex.escape(form) for form in longest_first) + ")"
    around = _NOT_INSIDE if language in _SPACELESS else _WHOLE_WORD
    return regex.compile(around.format(forms), regex.IGNORECASE), MappingProxyType(words)
