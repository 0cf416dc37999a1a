"""What the probes' voices say: sixteen sentences in English and sixteen in Mandarin.

Written for the probes alone: none is among the texts of pretraining or of the demo. Test voices say the last
six, training voices the first ten.
"""

from __future__ import annotations

TRAINING_SENTENCES = 10

ENGLISH = (
    "Seven geese crossed the frozen yard before dawn.",
    "Could you hold the ladder while I paint the ceiling?",
    "The judge thought the whole joke was rather childish.",
    "A thick fog hung over the harbour until noon.",
    "Please measure the width of both bathroom shelves.",
    "His youngest cousin usually chooses orange juice.",
    "We heard a loud noise coming from the kitchen.",
    "That vague rumour reached every village on the coast.",
    "Her father bought eight pounds of fresh cherries.",
    "The old oak bridge should hold a heavy truck.",
    "Nobody noticed the small yellow bird on the wire.",
    "They usually cook fish with ginger and young onions.",
    "The church choir joined us for the other songs.",
    "Push the chair back and put your boots away.",
    "Our teacher gave a clear answer about the weather.",
    "I would rather share this large jar of honey.",
)

MANDARIN = (
    "昨天下午突然刮起了大风。",
    "请把这张照片寄给爷爷。",
    "孩子们在院子里捉蝴蝶。",
    "老师让我们写一篇短文。",
    "他学会了骑自行车上班。",
    "妈妈买了三斤新鲜的葡萄。",
    "图书馆里坐满了学生。",
    "雪山脚下有一个安静的村庄。",
    "我忘了带雨伞,只好等着。",
    "那条小河夏天常常没有水。",
    "叔叔从南方给我们带来了茶叶。",
    "姐姐穿着一件紫色的裙子。",
    "办公室的窗户朝着操场。",
    "这部电影比小说更有趣。",
    "飞机晚上十点才能降落。",
    "他们决定春天再去旅行。",
)
