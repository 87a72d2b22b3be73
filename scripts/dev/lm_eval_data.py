"""The evaluation sets of check_lm_eval.py: in the form that `blockformer eval` reads, and in the
form of the hub, which the harness's own task definitions read."""

import json
import string

# File of each task in a folder of `blockformer eval tasks --data`.
FILES = {
    "lambada_openai": "lambada_openai_test.jsonl",
    "wikitext": "wikitext2_test_pages.jsonl",
    "hellaswag": "hellaswag_val.jsonl",
    "piqa": "piqa_val.jsonl",
    "arc_easy": "arc_easy_test.jsonl",
    "arc_challenge": "arc_challenge_test.jsonl",
    "winogrande": "winogrande_val.jsonl",
    "openbookqa": "openbookqa_test.jsonl",
}


def _lettered(choices):
    return {"text": choices, "label": list(string.ascii_uppercase[:len(choices)])}


def _arc(record):
    return {"question": record["ctx"], "choices": _lettered(record["choices"]),
            "answerKey": string.ascii_uppercase[record["label"]]}


def _openbookqa(record):
    return {"question_stem": record["ctx"], "choices": _lettered(record["choices"]),
            "answerKey": string.ascii_uppercase[record["label"]]}


def _hellaswag(record):
    activity, context = record["ctx"].split(": ", 1)
    return {"activity_label": activity, "ctx_a": context, "ctx_b": "",
            "endings": record["choices"], "label": str(record["label"])}


def _piqa(record):
    first, second = record["choices"]
    return {"goal": record["ctx"], "sol1": first, "sol2": second, "label": record["label"]}


def _winogrande(record):
    first, second = record["choices"]
    return {"sentence": record["ctx"], "option1": first, "option2": second,
            "answer": str(record["label"] + 1)}


_TO_HUB = {"hellaswag": _hellaswag, "piqa": _piqa, "arc_easy": _arc, "arc_challenge": _arc,
           "winogrande": _winogrande, "openbookqa": _openbookqa}


def to_hub(task, record):
    """A record of `task` in the hub's form; lambada_openai and wikitext have one form."""
    return _TO_HUB[task](record) if task in _TO_HUB else record


def read_records(path, count):
    """The first `count` records of a file of JSON lines."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for _, line in zip(range(count), file)]


def write_records(path, records):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _texts(field, texts):
    return [{field: text} for text in texts]


def _choices(rows):
    return [{"ctx": context, "choices": list(choices), "label": label}
            for context, choices, label in rows]


_LAMBADA = [
    "The old clock in the hall had stopped at noon. Nobody wound it any more, and so for Anna "
    "it was always noon in the hall, whatever said the other clock",
    "\"Where did you put the lamp?\" asked Tom.\n\n\"On the shelf,\" she said. He went to the "
    "shelf, moved two jars, and there behind them stood the lamp",
    "They had carried the piano up four flights of stairs, and it was only at the door that Ines "
    "remembered: nobody in the house could play the piano",
    "It rained on Monday, it rained on Tuesday; by Wednesday even the ducks were tired of the rain",
    "‘Café?’ he asked. She shook her head – she had never liked the taste of café",
    "The letter had no stamp, no address, and no name. Still the postman knew for whom it was. "
    "In this village only one man ever got such a letter",
    "Marta counted the sheep twice. Forty-one. There should be forty-two. She took her stick and "
    "went out to look for the missing sheep",
    # Longer than the context of a tiny model, so that its beginning is cut off.
    "He baked bread every morning and sold it every noon, and when the street was quiet again he "
    "sat down on the bench before his shop and counted what he had taken in: so many coins of "
    "copper, so many of silver, and once in a year, on the day of the great fair, one of gold. "
    "Then he swept the floor, shut the oven, and went home by the river; the only thing that "
    "stayed in his shop through the night was the smell of bread",
    "Two men claimed the horse. \"Let it go,\" the judge said, \"and see whom it follows.\" But "
    "it followed neither, and so the judge kept the horse",
    "She had been told that the bridge was closed. She had not been told that there was no bridge",
    "First the cat sat on the chair. Then the dog sat on the chair. When grandfather came home, "
    "he looked from one to the other and sat down on the floor. It was, after all, not his chair",
    "He didn't answer. She didn't ask again. The boat went on down the river, past the mill, past "
    "the church, and neither of them looked up from the river",
]

_PAGE = (" \n = {name} = \n \n {name} is a lake in the north @-@ west of an invented country . It "
         "covers 1 @,@ {size} square kilometres , and is 12 @.@ 5 metres deep ; its water is cold "
         "! \n \n = = Name = = \n \n The fishermen 's word \" {name} \" ( \" {other} \" in older "
         "books ) means ' quiet ' . Is it quiet ? The town 's people say : no . \n \n = = = Fish "
         "= = = \n \n Trout , pike [ and eel ] live there at 20 ° C . {more}\n")
# Long pages, of several windows, but not of one sentence repeated: the backend hf takes requests
# whose tokens are equal for one, even if they divide them otherwise into context and continuation.
_WIKITEXT = [
    _PAGE.format(name="Orvel", size=204, other="Orwel", more=""),
    _PAGE.format(name="Tarn Loma", size=311, other="Lóma",
                 more=" ".join(f"In {1911 + 7 * i} it froze {i * i} times ;" for i in range(20))),
    _PAGE.format(name="Miresee", size=87, other="湖",
                 more=" ".join(f"{count} herons were seen ," for count in (9, 14, 27, 3, 110))),
]

_HELLASWAG = [
    ("Baking bread: A woman kneads dough on a table. she",
     ("puts the dough into a bowl.", "paints the table blue.", "rides the dough to town.",
      "reads the dough a letter."), 0),
    ("Changing a wheel: A man lifts a car with a jack. he",
     ("sings to the jack.", "loosens the bolts of the wheel.", "fries an egg on the wheel.",
      "lifts the road as well."), 1),
    ("Rowing: Four people sit in a long boat on a lake. the boat",
     ("climbs a tree.", "reads a book.", "glides across the water.", "is cut into slices."), 2),
    ("Home and Garden: How to water a fern. Look at the soil. If it is dry, water it. You will "
     "need: a can.", ("Burn the can.", "Dry the fern in an oven.", "Sell the soil.",
                      "Fill the can with lukewarm water."), 3),
    ("Playing chess: Two boys move pieces on a board. One boy",
     ("takes the other's queen.", "eats the board.", "swims away; the board follows.",
      "throws a \"lasso\" at it."), 0),
    ("Shaving: He puts foam on his face. He takes a razor and",
     ("plants it.", "shaves his cheek, slowly.", "mails it.", "feeds it to a dog!"), 1),
    ("Windsurfing: A man stands on a board. The wind blows – he",
     ("sleeps.", "is paid by it.", "leans back and holds the sail.", "peels it."), 2),
    ("Drum lesson: The teacher shows how sticks are held. the pupil",
     ("eats one.", "waters them.", "becomes a stick.", "holds the sticks the same way."), 3),
    ("Ironing a shirt: A shirt lies on the board. The iron is hot. A hand",
     ("moves the iron over the sleeve.", "shakes the shirt's hand.", "boils.", "dives."), 0),
    ("Feeding ducks: Children stand at a pond with old bread. they",
     ("marry the pond.", "throw crumbs into the water.", "bake the ducks a cake.", "sink."), 1),
    ("Work World: How to ask for a raise. Choose a good moment. Do not ask on a Friday evening.",
     ("Ask on a Friday evening.", "Sing.", "Say what you have done, with figures.", "Resign."), 2),
    ("Knitting: Needles and blue wool lie on her knees. The woman",
     ("drives them.", "votes.", "melts the wool.", "casts on thirty stitches."), 3),
]

_PIQA = [
    ("How do I keep bread fresh?", ("Keep it in a paper bag.", "Keep it in a fish tank."), 0),
    ("To open a jar,", ("turn the glass to ice", "turn the lid to the left"), 1),
    ("dry wet shoes", ("Stuff them with newspaper. ", "Stuff them with soup. "), 0),
    ("Sharpen a pencil.", ("Use a spoon, gently.", "Use a small, sharp knife."), 1),
    ("What is good for cleaning a window?", ("Water with some vinegar", "Sand with some tar"), 0),
    ("To carry soup,", ("use a net.", "use a pot with a lid."), 1),
    ("Mark a page in a book", ("lay a strip of paper in it", "lay a wet towel in it"), 0),
    ("How can you cool a hot drink?", ("Heat it.", "Pour it to and fro between two cups."), 1),
    ("Hang a picture:", ("put a nail into the wall", "put a nail into the picture's face"), 0),
    ("peel a boiled egg", ("in the oven at 300°C", "under cold water"), 1),
    ("Stop a door from squeaking.", ("Oil the hinges.", "Oil the floor in front of it."), 0),
    ("make paper stiff", ("Wet it, then read it aloud.", "Fold it several times."), 1),
]

_ARC = [
    ("Which of these gives light of its own?", ("the moon", "a mirror", "the sun", "a lake"), 2),
    ("Water that is cooled below 0 °C becomes", ("ice", "steam", "salt", "air"), 0),
    ("What do plants take from the air?", ("iron", "carbon dioxide", "sand", "sugar"), 1),
    ("A magnet attracts", ("wood.", "glass.", "paper.", "an iron nail."), 3),
    ("Which tool measures temperature?", ("a ruler", "a thermometer", "a scale"), 1),
    ("Sound cannot travel through", ("water.", "steel.", "air.", "empty space.", "wood."), 3),
    ("An animal that eats only plants is called a", ("herbivore", "carnivore", "mineral"), 0),
    ("Day and night come from", ("tides", "the turning of the earth", "clouds", "wind"), 1),
    ("Which part of a plant takes up water?", ("the flower", "the fruit", "the root", "bark"), 2),
    ("What is needed for iron to rust?", ("oxygen and water", "light", "cold", "music"), 0),
    ("A lens that is thicker in its middle", ("is magnetic.", "spreads no light.", "is black.",
                                              "brings rays of light together."), 3),
    ("How many legs has an insect?", ("4", "6", "8", "100"), 1),
]

_WINOGRANDE = [
    ("The cup did not fit into the box because the _ was too large.", ("cup", "box"), 0),
    ("The cup did not fit into the box because the _ was too small.", ("cup", "box"), 1),
    ("Nora lent Ida her coat because _ was cold.", ("Nora", "Ida"), 1),
    ("Nora lent Ida her coat since _ was not cold.", ("Nora", "Ida"), 0),
    ("The nail bent under the hammer, for the _ was soft.", ("nail", "hammer"), 0),
    ("Paul asked Jan for help as _ knew the town well.", ("Paul", "Jan"), 1),
    ("The soup was hotter than the tea, so we drank the _ first.", ("soup", "tea"), 1),
    ("The soup was hotter than the tea, so the _ had to wait.", ("soup", "tea"), 0),
    ("Lena outran Kim although _ is younger.", ("Lena", "Kim"), 1),
    ("The candle lit the room better than the lamp, because the _ was old.", ("candle", "lamp"), 1),
    ("Omar thanked Ben after _ had found his keys.", ("Omar", "Ben"), 1),
    ("_ was late, so Ruth began without Eva.", ("Ruth", "Eva"), 1),
]

_OPENBOOKQA = [
    ("A fire needs", ("water", "oxygen", "ice", "a name"), 1),
    ("When it gets dark, an owl", ("wakes up", "turns green", "melts", "lays coins"), 0),
    ("A desert has little", ("sand", "sunlight", "rain", "heat"), 2),
    ("Bees carry pollen from", ("stone to stone", "sea to sea", "tin to tin",
                                "flower to flower"), 3),
    ("A shadow is longest", ("at noon", "near sunset", "underground", "at night"), 1),
    ("Copper wire is used since it", ("conducts electricity", "smells", "is blue", "floats"), 0),
    ("A polar bear is hard to see in", ("a coal mine", "a bakery's oven", "snow", "a wood"), 2),
    ("What falls from a tree in autumn?", ("fish", "roots", "rocks", "leaves"), 3),
    ("If a river freezes, the fish", ("fly off", "live below the ice", "freeze the sea",
                                      "become birds"), 1),
    ("A stone thrown up will", ("come down", "stay there", "get lighter", "sing"), 0),
    ("Wool keeps warm because it holds", ("water", "fire", "air", "sugar"), 2),
    ("Salt is left over when the sea's water", ("is blue", "is deep", "flows", "evaporates"), 3),
]

INVENTED = {
    "lambada_openai": _texts("text", _LAMBADA),
    "wikitext": _texts("page", _WIKITEXT),
    "hellaswag": _choices(_HELLASWAG),
    "piqa": _choices(_PIQA),
    "arc_easy": _choices(_ARC[::2]),
    "arc_challenge": _choices(_ARC[1::2]),
    "winogrande": _choices(_WINOGRANDE),
    "openbookqa": _choices(_OPENBOOKQA),
}
